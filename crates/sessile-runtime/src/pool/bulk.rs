//! Many requests at once, answered in their order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sessile_device::{Output, OutputKind, RequestError, RequestErrorKind};

use super::{Pending, Pool, PoolRequest};
use crate::queue::Queue;

/// Batches per lane that are in flight or waiting to be handed out in order.
const WINDOW_BATCHES_PER_LANE: usize = 4;

/// Items that may wait to be handed out in order, those that ask nothing counted too.
const WINDOW_ITEMS: usize = 1 << 16;

/// Bytes of answers that may wait to be handed out in order.
const WINDOW_BYTES: usize = 256 << 20;

impl Pool {
    /// Answers in the order of the requests, with as much in flight as keeps all lanes busy.
    /// Memory does not grow with the number of requests.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_device::{ModelIndex, OutputKind, OutputSet};
    /// use sessile_models::Model;
    /// use sessile_runtime::{Pool, PoolOptions, PoolRequest};
    ///
    /// let demo = Model::demo();
    /// let wanted = OutputSet::default().with(OutputKind::Mean);
    /// let options = PoolOptions { outputs: wanted, ..PoolOptions::default() };
    /// let requests = ["MKV", "GASP"].map(|sequence| {
    ///     let tokens = demo.tokenizer().encode(sequence.as_bytes()).tokens;
    ///     (sequence, PoolRequest::new(ModelIndex(0), tokens, wanted))
    /// });
    /// let pool = Pool::new(&[demo], &options)?;
    /// for (sequence, answer) in pool.infer_many(requests) {
    ///     let vector = answer.map(|output| output.get(OutputKind::Mean).unwrap().data.len());
    ///     assert_eq!(vector.unwrap(), 128, "{sequence}");
    /// }
    /// # Ok::<(), sessile_runtime::RuntimeError>(())
    /// ```
    pub fn infer_many<K, I>(
        &self,
        requests: I,
    ) -> impl Iterator<Item = (K, Result<Output, RequestError>)>
    where
        I: IntoIterator<Item = (K, PoolRequest)>,
    {
        self.in_order(
            requests
                .into_iter()
                .map(|(key, request)| (key, Some(request))),
        )
        .filter_map(|(key, answer)| answer.map(|answer| (key, answer)))
    }

    /// As [`Pool::infer_many`], with items that ask nothing: they only keep their place in the
    /// order. What a caller found wrong with a record travels that way.
    pub fn in_order<K, I>(&self, requests: I) -> InOrder<'_, K, I::IntoIter>
    where
        I: IntoIterator<Item = (K, Option<PoolRequest>)>,
    {
        InOrder::new(self, requests.into_iter())
    }
}

/// Answers in the order of the requests. See [`Pool::in_order`].
pub struct InOrder<'p, K, I> {
    pool: &'p Pool,
    requests: I,
    exhausted: bool,
    until: Option<Arc<AtomicBool>>,
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
        pool.queues().for_each(Queue::open_bulk);
        let batch_tokens: usize = pool.lanes.iter().map(|lane| lane.token_budget).sum();
        InOrder {
            pool,
            requests,
            exhausted: false,
            until: None,
            held: None,
            in_flight: VecDeque::new(),
            outstanding: Cost::default(),
            window_tokens: batch_tokens.saturating_mul(WINDOW_BATCHES_PER_LANE),
        }
    }

    /// The same until the flag is set: then there are no more answers, and what is in flight is
    /// given up, a text after the token that is being written.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// use sessile_device::{ModelIndex, OutputKind, OutputSet};
    /// use sessile_models::Model;
    /// use sessile_runtime::{Pool, PoolOptions, PoolRequest};
    ///
    /// let demo = Model::demo();
    /// let wanted = OutputSet::default().with(OutputKind::Mean);
    /// let tokens = demo.tokenizer().encode(b"MKV").tokens;
    /// let options = PoolOptions { outputs: wanted, ..PoolOptions::default() };
    /// let pool = Pool::new(&[demo], &options)?;
    ///
    /// let endless = (0..).map(|number: u64| {
    ///     let request = PoolRequest::new(ModelIndex(0), tokens.clone(), wanted);
    ///     (number, Some(request))
    /// });
    /// let enough = Arc::new(AtomicBool::new(false));
    /// for (number, _) in pool.in_order(endless).until(Arc::clone(&enough)) {
    ///     assert!(number <= 10);
    ///     enough.store(number == 10, Ordering::Relaxed);
    /// }
    /// # Ok::<(), sessile_runtime::RuntimeError>(())
    /// ```
    #[must_use]
    pub fn until(mut self, flag: Arc<AtomicBool>) -> Self {
        self.until = Some(flag);
        self
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
            let pending = request.map(|mut request| {
                if self.until.is_some() {
                    request.cancelled.clone_from(&self.until);
                }
                self.pool.push_waiting(request, true)
            });
            self.in_flight.push_back((key, pending, cost));
        }
    }

    fn is_over(&self) -> bool {
        self.until
            .as_ref()
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    fn next_request(&mut self) -> Option<(K, Option<PoolRequest>)> {
        if self.exhausted {
            return None;
        }
        let next = self.requests.next();
        if next.is_none() {
            self.exhausted = true;
            self.pool.queues().for_each(Queue::close_bulk);
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
                    | OutputKind::Max
                    | OutputKind::Std
                    | OutputKind::Eos
                    | OutputKind::Pooler => model.hidden,
                    OutputKind::PerResidue => tokens * model.hidden,
                    OutputKind::Logits => tokens * model.vocabulary,
                    OutputKind::Contacts => tokens * tokens,
                    OutputKind::HiddenStates => (model.layers + 1) * tokens * model.hidden,
                    OutputKind::Attention => model.heads * tokens * tokens,
                    OutputKind::ThreeDi => tokens * 20,
                    OutputKind::TwelveState => tokens * 12,
                    OutputKind::Classes => tokens * model.labels.len(),
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
        if self.is_over() {
            return None;
        }
        self.fill();
        let (key, pending, cost) = self.in_flight.pop_front()?;
        let answer = pending.map(Pending::wait);
        if let Some(Err(error)) = &answer
            && error.kind() == RequestErrorKind::Cancelled
            && self.is_over()
        {
            return None;
        }
        self.outstanding.tokens -= cost.tokens;
        self.outstanding.bytes -= cost.bytes;
        Some((key, answer))
    }
}

impl<K, I> Drop for InOrder<'_, K, I> {
    fn drop(&mut self) {
        if !self.exhausted {
            self.pool.queues().for_each(Queue::close_bulk);
        }
    }
}
