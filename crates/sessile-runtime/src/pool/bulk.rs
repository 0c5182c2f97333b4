//! Many requests at once, answered in their order.

use std::collections::VecDeque;

use sessile_device::{Output, OutputKind, RequestError};

use super::{Pending, Pool, PoolRequest};

/// Batches per lane that are in flight or waiting to be handed out in order.
const WINDOW_BATCHES_PER_LANE: usize = 4;

/// Items that may wait to be handed out in order, those that ask nothing counted too.
const WINDOW_ITEMS: usize = 1 << 16;

/// Bytes of answers that may wait to be handed out in order.
const WINDOW_BYTES: usize = 256 << 20;

/// Answers in the order of the requests. See [`Pool::in_order`].
pub struct InOrder<'p, K, I> {
    pool: &'p Pool,
    requests: I,
    exhausted: bool,
    /// What was read but does not fit the window yet.
    held: Option<(K, Option<PoolRequest>)>,
    in_flight: VecDeque<(K, Option<Pending>, Cost)>,
    outstanding: Cost,
    window_tokens: usize,
}

/// What a request holds while it is outstanding.
#[derive(Clone, Copy, Default)]
struct Cost {
    tokens: usize,
    bytes: usize,
}

impl<'p, K, I: Iterator<Item = (K, Option<PoolRequest>)>> InOrder<'p, K, I> {
    pub(super) fn new(pool: &'p Pool, requests: I) -> Self {
        pool.queue.open_bulk();
        let batch_tokens: usize = pool.lanes.iter().map(|lane| lane.token_budget).sum();
        InOrder {
            pool,
            requests,
            exhausted: false,
            held: None,
            in_flight: VecDeque::new(),
            outstanding: Cost::default(),
            window_tokens: batch_tokens.saturating_mul(WINDOW_BATCHES_PER_LANE),
        }
    }

    /// Submits until the window is full or there is nothing more.
    fn fill(&mut self) {
        while let Some((key, request)) = self.held.take().or_else(|| self.next_request()) {
            let cost = request
                .as_ref()
                .map_or_else(Cost::default, |request| self.cost(request));
            let fits = self.in_flight.len() < WINDOW_ITEMS
                && self.outstanding.tokens + cost.tokens <= self.window_tokens
                && self.outstanding.bytes.saturating_add(cost.bytes) <= WINDOW_BYTES;
            if !fits && !self.in_flight.is_empty() {
                self.held = Some((key, request));
                return;
            }
            self.outstanding.tokens += cost.tokens;
            self.outstanding.bytes += cost.bytes;
            let pending = request.map(|request| {
                let (entry, pending) = request.into_entry(true);
                self.pool.queue.push_waiting(entry);
                pending
            });
            self.in_flight.push_back((key, pending, cost));
        }
    }

    fn next_request(&mut self) -> Option<(K, Option<PoolRequest>)> {
        if self.exhausted {
            return None;
        }
        let next = self.requests.next();
        if next.is_none() {
            self.exhausted = true;
            self.pool.queue.close_bulk();
        }
        next
    }

    fn cost(&self, request: &PoolRequest) -> Cost {
        let tokens = request.tokens.len();
        let values = self
            .pool
            .models
            .get(request.model.0)
            .map_or(tokens, |model| {
                let of = |kind| match kind {
                    OutputKind::Mean
                    | OutputKind::MeanAll
                    | OutputKind::Cls
                    | OutputKind::Pooler => model.hidden,
                    OutputKind::PerResidue => tokens * model.hidden,
                    OutputKind::Logits => tokens * model.vocabulary,
                    OutputKind::Contacts => tokens * tokens,
                    OutputKind::HiddenStates => (model.layers + 1) * tokens * model.hidden,
                    OutputKind::Attention => model.heads * tokens * tokens,
                    OutputKind::ThreeDi => tokens * 20,
                    OutputKind::TwelveState => tokens * 12,
                    _ => tokens,
                };
                request
                    .outputs
                    .iter()
                    .map(of)
                    .fold(0_usize, usize::saturating_add)
            });
        Cost {
            tokens,
            bytes: values.saturating_mul(size_of::<f32>()),
        }
    }
}

impl<K, I: Iterator<Item = (K, Option<PoolRequest>)>> Iterator for InOrder<'_, K, I> {
    type Item = (K, Option<Result<Output, RequestError>>);

    fn next(&mut self) -> Option<Self::Item> {
        self.fill();
        let (key, pending, cost) = self.in_flight.pop_front()?;
        let answer = pending.map(Pending::wait);
        self.outstanding.tokens -= cost.tokens;
        self.outstanding.bytes -= cost.bytes;
        Some((key, answer))
    }
}

impl<K, I> Drop for InOrder<'_, K, I> {
    fn drop(&mut self) {
        if !self.exhausted {
            self.pool.queue.close_bulk();
        }
    }
}
