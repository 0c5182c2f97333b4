//! What a model that writes has done, and how fast.

use sessile_device::{DeviceId, ModelIndex};

use super::Pool;
use crate::metrics::{Counted, LaneMetrics};

/// What a model that writes has done since the pool was ready.
#[derive(Clone, Debug, PartialEq)]
pub struct WritingReport {
    /// Requests answered.
    pub inferences: u64,
    /// The same per second.
    pub inferences_per_second: f64,
    /// Tokens written, start tokens included.
    pub tokens: u64,
    /// The same per second.
    pub tokens_per_second: f64,
    /// Requests that may be answered at the same time.
    pub instances: usize,
    /// Bytes on each device: weights, caches and workspace.
    pub memory: Vec<(DeviceId, u64)>,
    /// Requests that wait now.
    pub queued: usize,
    /// Requests that shared a step, on average.
    pub mean_batch: f64,
    /// Requests that were given back because a step or a lane failed.
    pub given_back: u64,
    /// Whether only one request at a time is answered, because everything else failed.
    pub has_fallen_back: bool,
}

impl Pool {
    /// What a model that writes has done since the pool was ready; `None` of any other.
    pub fn writing_report(&self, model: ModelIndex) -> Option<WritingReport> {
        let group = self
            .groups
            .iter()
            .find(|group| group.writer == Some(model))?;
        let lanes = || {
            self.lane_metrics[group.lanes.clone()]
                .iter()
                .map(|lane| &**lane)
        };
        let (first, now) = (group.ready, Counted::now(lanes()));
        let seconds = now.at.duration_since(first.at).as_secs_f64().max(1e-9);
        let inferences = now.answered - first.answered;
        let tokens = now.written - first.written;
        let planned = || {
            self.plans
                .iter()
                .filter_map(|plan| plan.models.get(model.0))
        };
        let instances = planned()
            .zip(lanes())
            .map(|(plan, lane)| match &plan.writing {
                Some(_) if lane.is_single() => 1,
                Some(writing) if !lane.is_out() => writing.instances,
                _ => 0,
            });
        let memory = self.plans.iter().zip(planned()).map(|(plan, model)| {
            let lane = model
                .writing
                .as_ref()
                .map_or(0, |writing| writing.lane_bytes);
            (plan.device, model.weight_bytes.saturating_add(lane))
        });
        Some(WritingReport {
            inferences,
            inferences_per_second: inferences as f64 / seconds,
            tokens,
            tokens_per_second: tokens as f64 / seconds,
            instances: instances.sum(),
            memory: memory.collect(),
            queued: group.queue.queued_requests(),
            mean_batch: (now.in_steps - first.in_steps) as f64
                / (now.steps - first.steps).max(1) as f64,
            given_back: lanes().map(|lane| lane.given_back.get()).sum(),
            has_fallen_back: lanes().any(LaneMetrics::is_single),
        })
    }
}
