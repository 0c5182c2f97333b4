//! Lanes that serve the same models, and the queue they pull from.

use std::ops::Range;
use std::sync::Arc;

use sessile_device::{GenerationSettings, ModelIndex, OutputKind, OutputSet};
use sessile_models::{Model, ModelError};

use super::request::PoolRequest;
use crate::lane::PoolLane;
use crate::loading::Loaded;
use crate::metrics::Counted;
use crate::options::{Dispatch, PoolOptions};
use crate::queue::Queue;
use crate::resident::Resident;

/// Lanes that are about to begin, and how their requests wait.
pub(super) struct NewGroup {
    pub(super) lanes: Vec<PoolLane>,
    pub(super) dispatch: Dispatch,
    pub(super) trial: Option<PoolRequest>,
    /// The model that writes on these lanes, if it is one that does.
    pub(super) writer: Option<ModelIndex>,
}

/// Lanes that pull from one queue.
pub(super) struct Group {
    pub(super) queue: Arc<Queue>,
    /// Something that every working lane answers.
    pub(super) trial: Option<PoolRequest>,
    /// Their places among the lanes of the pool.
    pub(super) lanes: Range<usize>,
    pub(super) writer: Option<ModelIndex>,
    /// The counters when the pool was ready.
    pub(super) ready: Counted,
}

/// The lanes of those that read, and of each that writes; and which serve each model.
pub(super) fn groups(
    models: &[Resident<'_>],
    options: &PoolOptions,
    loaded: &mut [Loaded],
) -> (Vec<NewGroup>, Vec<usize>) {
    let mut groups: Vec<NewGroup> = Vec::new();
    let mut serving = Vec::new();
    let mut readers = None;
    for (index, model) in models.iter().enumerate() {
        let model_index = ModelIndex(index);
        match *model {
            Resident::Reads(files) => {
                let group = *readers.get_or_insert_with(|| {
                    let lanes = loaded.iter_mut();
                    groups.push(NewGroup {
                        lanes: lanes.flat_map(|device| device.readers.drain(..)).collect(),
                        dispatch: options.dispatch.clone(),
                        trial: Some(reading_trial(model_index, files, options.outputs)),
                        writer: None,
                    });
                    groups.len() - 1
                });
                serving.push(group);
            }
            Resident::Writes(files) => {
                serving.push(groups.len());
                let lanes = loaded.iter_mut();
                let queue = options.writing.queue;
                groups.push(NewGroup {
                    // Those of the writers before it are gone already.
                    lanes: lanes
                        .filter_map(|device| device.writers.pop_front())
                        .collect(),
                    dispatch: Dispatch {
                        queue_tokens: queue
                            .map(|queue| queue.saturating_mul(files.description().max_tokens)),
                        ..options.writing.dispatch.clone()
                    },
                    trial: writing_trial(model_index, files).ok(),
                    writer: Some(model_index),
                });
            }
        }
    }
    (groups, serving)
}

/// What a lane that reads is tried with: the cheapest of what it was planned for.
fn reading_trial(model: ModelIndex, files: &Model, planned: OutputSet) -> PoolRequest {
    let cheapest = planned.iter().next().unwrap_or(OutputKind::Mean);
    let tokens = files.tokenizer().encode(b"M").tokens;
    PoolRequest::new(model, tokens, OutputSet::default().with(cheapest))
}

/// What a lane that writes is tried with: one token after a source without content.
fn writing_trial(model: ModelIndex, files: &Model) -> Result<PoolRequest, ModelError> {
    let tokens = files.text_tokenizer()?.encode("");
    let settings = GenerationSettings {
        num_beams: 1,
        min_length: 0,
        max_length: 2,
        do_sample: false,
        ..files.settings()?.clone()
    };
    let mut request = PoolRequest::new(model, tokens, OutputSet::default());
    request.generation = Some(Arc::new(settings));
    Ok(request)
}
