//! The requests in progress on one lane, for decoders.

use std::collections::VecDeque;
use std::sync::Arc;

use sessile_device::{
    Admission, DType, Device, DeviceError, Event, Execution, GenerationSettings, GivenUp, Lane,
    Output, PackedBatch, Request, RequestError, RequestErrorKind, RequestId,
};

use super::cells::Cells;
use super::search::{Progress, Row, Search};
use super::{Caches, SequenceToSequence, Step};

/// What a lane has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderLimits {
    /// Hypotheses of all requests together.
    pub rows: usize,
    /// Cells of the tokens that are written.
    pub own_cells: usize,
    /// Cells of the encoded sources.
    pub source_cells: usize,
    /// Tokens that are encoded in one pass; a longer source is encoded alone.
    pub encode_tokens: usize,
}

impl DecoderLimits {
    /// Room for `requests` with these settings and sources of `source_tokens`.
    pub fn for_requests(
        requests: usize,
        settings: &GenerationSettings,
        source_tokens: usize,
    ) -> Self {
        let rows = requests.saturating_mul(settings.num_beams);
        DecoderLimits {
            rows,
            own_cells: rows.saturating_mul(settings.max_length),
            source_cells: requests.saturating_mul(source_tokens),
            encode_tokens: source_tokens.max(2048),
        }
    }
}

/// A request and how far it is.
struct InProgress {
    request: Request,
    settings: Arc<GenerationSettings>,
    search: Search,
    /// Empty until the source is encoded.
    source_cells: Vec<u32>,
    /// The cells of each running hypothesis: those of all its tokens but the last.
    cells: Vec<Vec<u32>>,
    /// What it may need of the own cells at most, kept free for it.
    reserved: usize,
}

/// The requests in progress on one lane.
pub struct DecoderExecution<D: Device> {
    lane: D::Lane,
    model: Arc<dyn SequenceToSequence<D>>,
    caches: Caches,
    limits: DecoderLimits,
    in_progress: VecDeque<InProgress>,
    own: Cells,
    source: Cells,
    reserved_rows: usize,
    reserved_cells: usize,
    reserved_source: usize,
    step: Step,
    logits: Vec<f32>,
    log_sums: Vec<f32>,
}

impl<D: Device> DecoderExecution<D> {
    /// Serves `model` on `lane`, with caches on its arena.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the caches do not fit the arena.
    pub fn new(
        mut lane: D::Lane,
        model: Arc<dyn SequenceToSequence<D>>,
        dtype: DType,
        limits: DecoderLimits,
    ) -> Result<Self, DeviceError> {
        let caches = Caches::new(
            &mut lane,
            model.info(),
            dtype,
            limits.own_cells,
            limits.source_cells,
        )?;
        Ok(DecoderExecution {
            lane,
            model,
            caches,
            own: Cells::new(limits.own_cells),
            source: Cells::new(limits.source_cells),
            limits,
            in_progress: VecDeque::new(),
            reserved_rows: 0,
            reserved_cells: 0,
            reserved_source: 0,
            step: Step::default(),
            logits: Vec::new(),
            log_sums: Vec::new(),
        })
    }

    /// The lane, to look at it between steps.
    pub fn lane(&self) -> &D::Lane {
        &self.lane
    }

    /// The lane, to change how it measures between steps.
    pub fn lane_mut(&mut self) -> &mut D::Lane {
        &mut self.lane
    }

    /// Why a request can never be served here, if so.
    fn refusal(&self, request: &Request, settings: &GenerationSettings) -> Option<RequestError> {
        let info = self.model.info();
        let refuse = |kind, message: String| Some(RequestError::new(kind, message));
        if let Some(kind) = request.outputs.iter().next() {
            return refuse(
                RequestErrorKind::UnsupportedOutput,
                format!("the model writes text and has no {kind:?} output"),
            );
        }
        if request.tokens.is_empty() {
            return refuse(
                RequestErrorKind::InvalidInput,
                "the text is empty".to_owned(),
            );
        }
        let most = info.max_tokens.min(self.limits.source_cells);
        if request.tokens.len() > most {
            return refuse(
                RequestErrorKind::TooLong,
                format!(
                    "{} tokens are more than the {most} there is room for",
                    request.tokens.len()
                ),
            );
        }
        if settings.max_length > info.max_target_tokens() {
            return refuse(
                RequestErrorKind::TooLong,
                format!(
                    "max_length {} is more than the model's {}",
                    settings.max_length,
                    info.max_target_tokens()
                ),
            );
        }
        let source = request.tokens.iter().map(|&token| ("the text", token));
        if let Some((name, token)) = source
            .chain(settings.named_tokens())
            .find(|&(_, token)| token as usize >= info.vocabulary)
        {
            return refuse(
                RequestErrorKind::InvalidInput,
                format!(
                    "{name} has token {token}, which is not one of the model's {}",
                    info.vocabulary
                ),
            );
        }
        let (rows, cells) = needs(settings);
        if rows > self.limits.rows || cells > self.limits.own_cells {
            return refuse(
                RequestErrorKind::TooLong,
                format!(
                    "{rows} beams of {} tokens need more than the lane's {} rows and {} cells",
                    settings.max_length, self.limits.rows, self.limits.own_cells
                ),
            );
        }
        None
    }

    /// Encodes the sources that have not been.
    fn encode(&mut self) -> Result<(), DeviceError> {
        let waiting: Vec<usize> = (0..self.in_progress.len())
            .filter(|&index| self.in_progress[index].source_cells.is_empty())
            .collect();
        let mut waiting = waiting.as_slice();
        while !waiting.is_empty() {
            let mut batch = PackedBatch::default();
            let mut cells = Vec::new();
            let mut count = 0;
            for &index in waiting {
                let tokens = &self.in_progress[index].request.tokens;
                if count > 0 && cells.len() + tokens.len() > self.limits.encode_tokens {
                    break;
                }
                batch.push(tokens);
                // The reservation keeps this many free.
                cells.extend((0..tokens.len()).map_while(|_| self.source.take()));
                count += 1;
            }
            let mark = self.lane.mark();
            let encoded = self
                .model
                .encode(&mut self.lane, &batch, &cells, &self.caches);
            self.lane.release(mark);
            if let Err(error) = encoded {
                self.source.drop(&cells);
                return Err(error);
            }
            let mut cells = cells.as_slice();
            for &index in &waiting[..count] {
                let entry = &mut self.in_progress[index];
                let (own, rest) = cells.split_at(entry.request.tokens.len());
                entry.source_cells.extend_from_slice(own);
                cells = rest;
            }
            waiting = &waiting[count..];
        }
        Ok(())
    }

    /// One row for every running hypothesis.
    fn lay_out(&mut self) {
        self.step.clear();
        for entry in &mut self.in_progress {
            let running = entry.search.running();
            for (tokens, cells) in running.iter().zip(&mut entry.cells) {
                // The reservation keeps enough of them free.
                let Some(cell) = self.own.take() else { break };
                cells.push(cell);
                self.step.tokens.extend(tokens.last());
                self.step.positions.push(tokens.len() as u32 - 1);
                self.step.own_cells.push(cell);
                self.step.own.push(cells.iter().copied(), 1);
            }
            let source = entry.source_cells.iter().copied();
            self.step.source.push(source, running.len());
        }
    }

    /// Undoes `lay_out`.
    fn take_step_back(&mut self) {
        for entry in &mut self.in_progress {
            for cells in &mut entry.cells {
                if let Some(cell) = cells.pop() {
                    self.own.drop(&[cell]);
                }
            }
        }
    }

    /// Lets every search go on by the scores of its rows.
    fn advance(&mut self, events: &mut Vec<(RequestId, Event)>) {
        let vocabulary = self.model.info().vocabulary;
        let mut logits = self.logits.chunks_exact_mut(vocabulary);
        let mut log_sums = self.log_sums.iter();
        let mut ended = Vec::new();
        for (index, entry) in self.in_progress.iter_mut().enumerate() {
            let mut rows: Vec<Row<'_>> = logits
                .by_ref()
                .zip(log_sums.by_ref())
                .take(entry.search.running().len())
                .map(|(logits, &log_sum)| Row { logits, log_sum })
                .collect();
            let event = if rows.iter().all(|row| row.log_sum.is_finite()) {
                let before = entry.search.running().last().map(Vec::len);
                let source = &entry.request.tokens;
                match entry.search.advance(&entry.settings, source, &mut rows) {
                    Progress::Running(continuations) => {
                        let cells: Vec<Vec<u32>> = continuations
                            .iter()
                            .map(|one| entry.cells[one.parent].clone())
                            .collect();
                        cells.iter().for_each(|cells| self.own.share(cells));
                        entry.cells.iter().for_each(|cells| self.own.drop(cells));
                        entry.cells = cells;
                        if let [one] = continuations[..]
                            && before.is_some()
                            && entry.settings.num_beams == 1
                        {
                            events.push((entry.request.id, Event::Token(one.token)));
                        }
                        continue;
                    }
                    Progress::Done(generated) => Event::Done(Output::of_tokens(generated)),
                }
            } else {
                Event::Failed(RequestError::new(
                    RequestErrorKind::NotFinite,
                    "the model's scores hold a NaN or an infinity",
                ))
            };
            events.push((entry.request.id, event));
            ended.push(index);
        }
        for index in ended.into_iter().rev() {
            if let Some(entry) = self.in_progress.remove(index) {
                self.let_go(&entry);
            }
        }
    }

    /// Gives back what a request held.
    fn let_go(&mut self, entry: &InProgress) {
        entry.cells.iter().for_each(|cells| self.own.drop(cells));
        self.source.drop(&entry.source_cells);
        self.reserved_rows -= entry.settings.num_beams;
        self.reserved_cells -= entry.reserved;
        self.reserved_source -= entry.request.tokens.len();
    }
}

/// Rows and own cells that a request may need at most.
fn needs(settings: &GenerationSettings) -> (usize, usize) {
    let rows = settings.num_beams;
    (rows, rows.saturating_mul(settings.max_length))
}

impl<D: Device> Execution for DecoderExecution<D> {
    fn admit(&mut self, request: Request) -> Admission {
        let settings = request.generation.clone().unwrap_or_default();
        if let Some(error) = self.refusal(&request, &settings) {
            return Admission::Refused(request, error);
        }
        let (rows, cells) = needs(&settings);
        if self.reserved_rows + rows > self.limits.rows
            || self.reserved_cells + cells > self.limits.own_cells
            || self.reserved_source + request.tokens.len() > self.limits.source_cells
        {
            return Admission::Full(request);
        }
        self.reserved_rows += rows;
        self.reserved_cells += cells;
        self.reserved_source += request.tokens.len();
        self.in_progress.push_back(InProgress {
            search: Search::new(&settings),
            settings,
            source_cells: Vec::new(),
            cells: vec![Vec::new()],
            reserved: cells,
            request,
        });
        Admission::Accepted
    }

    fn step(&mut self, events: &mut Vec<(RequestId, Event)>) -> Result<(), DeviceError> {
        if self.in_progress.is_empty() {
            return Ok(());
        }
        self.encode()?;
        self.lay_out();
        let mark = self.lane.mark();
        let decoded = self
            .model
            .decode(&mut self.lane, &self.step, &self.caches)
            .and_then(|scores| {
                let logits = self.lane.read(scores.logits);
                let log_sums = self.lane.read(scores.log_sums);
                self.lane.wait(logits, &mut self.logits)?;
                self.lane.wait(log_sums, &mut self.log_sums)
            });
        self.lane.release(mark);
        if let Err(error) = decoded {
            self.take_step_back();
            return Err(error);
        }
        self.advance(events);
        Ok(())
    }

    fn give_up_when(&mut self, given_up: Option<GivenUp>) {
        self.lane.give_up_when(given_up);
    }

    fn is_idle(&self) -> bool {
        self.in_progress.is_empty()
    }

    fn takes_more(&self) -> bool {
        self.reserved_rows < self.limits.rows
    }

    fn can_repeat_step(&self) -> bool {
        true
    }

    fn cancel(&mut self, id: RequestId) -> bool {
        let place = self
            .in_progress
            .iter()
            .position(|entry| entry.request.id == id);
        let Some(entry) = place.and_then(|place| self.in_progress.remove(place)) else {
            return false;
        };
        self.let_go(&entry);
        true
    }

    fn take_back(&mut self) -> Vec<Request> {
        // Nothing is in progress then, whatever a step that panicked has left half done.
        self.own = Cells::new(self.limits.own_cells);
        self.source = Cells::new(self.limits.source_cells);
        self.reserved_rows = 0;
        self.reserved_cells = 0;
        self.reserved_source = 0;
        let entries = self.in_progress.drain(..);
        entries.map(|entry| entry.request).collect()
    }
}
