//! The requests in progress on one lane, for encoders.
//!
//! A request is one sequence in one pass, except for masked scoring: hiding every residue in turn
//! makes as many sequences as there are residues. These are spread over as many steps as the
//! token budget asks for, and share them with other requests.

use std::collections::VecDeque;
use std::sync::Arc;

use sessile_device::{
    Admission, Device, DeviceError, DeviceErrorKind, Event, Execution, GivenUp, HostTensor, Lane,
    ModelIndex, Output, OutputKind, OutputSet, Request, RequestError, RequestErrorKind, RequestId,
};

use super::{Encoder, Job, Pass, Scratch};

/// A request and how far it is.
struct InProgress {
    request: Request,
    /// What the pass over the sequence as it is must give; empty when only masked scores are
    /// wanted.
    plain: OutputSet,
    plain_scheduled: bool,
    /// Residues whose masked pass has been put into a step, and all of them.
    masked_scheduled: usize,
    masked_total: usize,
    masked_done: usize,
    masked: Vec<f32>,
    output: Output,
    failure: Option<RequestError>,
}

impl InProgress {
    fn is_scheduled(&self) -> bool {
        self.plain_scheduled && self.masked_scheduled == self.masked_total
    }
}

/// Which job of the pass belongs to whom.
#[derive(Clone, Copy)]
struct Owner {
    in_progress: usize,
    residue: Option<usize>,
}

/// The requests in progress on one lane.
pub struct EncoderExecution<D: Device> {
    lane: D::Lane,
    /// By number; none where the model of that number is served elsewhere.
    models: Vec<Option<Arc<dyn Encoder<D>>>>,
    token_budget: usize,
    in_progress: VecDeque<InProgress>,
    pass: Pass,
    owners: Vec<Owner>,
    hidden: Vec<u32>,
    outputs: Vec<Output>,
    scratch: Scratch,
}

impl<D: Device> EncoderExecution<D> {
    /// Serves `models` on `lane` with passes of at most `token_budget` tokens, or of one sequence
    /// where a single one is longer.
    pub fn new(lane: D::Lane, models: Vec<Arc<dyn Encoder<D>>>, token_budget: usize) -> Self {
        Self::serving(lane, models.into_iter().map(Some).collect(), token_budget)
    }

    /// The same where the models of some numbers are served elsewhere.
    pub fn serving(
        lane: D::Lane,
        models: Vec<Option<Arc<dyn Encoder<D>>>>,
        token_budget: usize,
    ) -> Self {
        EncoderExecution {
            lane,
            models,
            token_budget,
            in_progress: VecDeque::new(),
            pass: Pass::default(),
            owners: Vec::new(),
            hidden: Vec::new(),
            outputs: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// The lane, to look at it between steps.
    pub fn lane(&self) -> &D::Lane {
        &self.lane
    }

    /// The lane, to change how it measures between steps.
    pub fn lane_mut(&mut self) -> &mut D::Lane {
        &mut self.lane
    }

    fn model(&self, model: ModelIndex) -> Option<&Arc<dyn Encoder<D>>> {
        self.models.get(model.0)?.as_ref()
    }

    /// Why a request can not be served, if so.
    fn refusal(&self, request: &Request) -> Option<RequestError> {
        let refuse = |kind, message: String| Some(RequestError::new(kind, message));
        let Some(model) = self.model(request.model) else {
            return refuse(
                RequestErrorKind::InvalidInput,
                format!("there is no model number {}", request.model.0),
            );
        };
        if request.generation.is_some() {
            return refuse(
                RequestErrorKind::UnsupportedOutput,
                "the model writes no text".to_owned(),
            );
        }
        let info = model.info();
        let tokens = request.tokens.len();
        if tokens <= info.special_tokens {
            return refuse(
                RequestErrorKind::InvalidInput,
                "the sequence is empty".to_owned(),
            );
        }
        if tokens > info.max_tokens {
            return refuse(
                RequestErrorKind::TooLong,
                format!(
                    "{} residues are more than the model's {}",
                    tokens - info.special_tokens,
                    info.max_tokens - info.special_tokens
                ),
            );
        }
        if let Some(token) = request
            .tokens
            .iter()
            .find(|&&token| token as usize >= info.vocabulary)
        {
            return refuse(
                RequestErrorKind::InvalidInput,
                format!(
                    "token {token} is not one of the model's {}",
                    info.vocabulary
                ),
            );
        }
        match request
            .outputs
            .iter()
            .find(|&kind| !info.outputs.contains(kind))
        {
            Some(kind) => refuse(
                RequestErrorKind::UnsupportedOutput,
                format!("the model has no {kind:?} output"),
            ),
            None => None,
        }
    }

    /// Fills the pass with jobs of one model, up to the token budget.
    fn schedule(&mut self) {
        self.pass.clear();
        self.owners.clear();
        let mut waiting = (self.in_progress.iter()).filter(|entry| !entry.is_scheduled());
        let Some(number) = waiting.next().map(|entry| entry.request.model) else {
            return;
        };
        let Some(model) = self.model(number) else {
            return;
        };
        let mask_token = model.mask_token();
        let leading = model.info().leading_tokens;
        for (index, entry) in self.in_progress.iter_mut().enumerate() {
            if entry.request.model != number {
                continue;
            }
            let tokens = &entry.request.tokens;
            let budget = self.token_budget;
            let fits = |pass: &Pass| {
                pass.jobs.is_empty() || pass.batch.tokens().len() + tokens.len() <= budget
            };
            if !entry.plain_scheduled && fits(&self.pass) {
                self.pass.push(
                    tokens,
                    Job {
                        outputs: entry.plain,
                        masked: None,
                    },
                );
                self.owners.push(Owner {
                    in_progress: index,
                    residue: None,
                });
                entry.plain_scheduled = true;
            }
            while let Some(mask) = mask_token
                && entry.masked_scheduled < entry.masked_total
                && fits(&self.pass)
            {
                let residue = entry.masked_scheduled;
                let position = residue + leading;
                self.hidden.clear();
                self.hidden.extend_from_slice(tokens);
                let truth = std::mem::replace(&mut self.hidden[position], mask);
                let job = Job {
                    outputs: OutputSet::default(),
                    masked: Some((position as u32, truth)),
                };
                self.pass.push(&self.hidden, job);
                self.owners.push(Owner {
                    in_progress: index,
                    residue: Some(residue),
                });
                entry.masked_scheduled += 1;
            }
            if self.pass.batch.tokens().len() >= budget {
                break;
            }
        }
    }

    /// Hands what the pass gave to the requests it belongs to.
    fn collect(&mut self) {
        for (owner, output) in self.owners.iter().zip(self.outputs.drain(..)) {
            let entry = &mut self.in_progress[owner.in_progress];
            if output.parts().iter().any(|(_, tensor)| !tensor.is_finite()) {
                entry.failure.get_or_insert_with(|| {
                    RequestError::new(
                        RequestErrorKind::NotFinite,
                        "the model's answer holds a NaN or an infinity",
                    )
                });
            }
            match owner.residue {
                None => entry.output = output,
                Some(residue) => {
                    entry.masked_done += 1;
                    if let Some(tensor) = output.get(OutputKind::MaskedLogprob) {
                        entry.masked[residue] = tensor.data[0];
                    }
                }
            }
        }
    }

    /// The pass did not fit. Halves the budget from here on and puts the jobs back; a job that was
    /// alone fails for good.
    fn shrink(&mut self, error: &DeviceError) {
        let alone = self.owners.len() == 1;
        self.token_budget = (self.pass.batch.tokens().len() / 2).max(1);
        for owner in &self.owners {
            let entry = &mut self.in_progress[owner.in_progress];
            match owner.residue {
                _ if alone => {
                    entry.failure = Some(RequestError::new(
                        RequestErrorKind::Device,
                        format!("the sequence does not fit the device: {error}"),
                    ));
                    entry.plain_scheduled = true;
                    entry.masked_scheduled = entry.masked_total;
                    entry.masked_done = entry.masked_total;
                }
                None => entry.plain_scheduled = false,
                Some(_) => entry.masked_scheduled -= 1,
            }
        }
    }

    /// Takes the finished requests out, in the order in which they came.
    fn finish(&mut self, events: &mut Vec<(RequestId, Event)>) {
        self.in_progress.retain_mut(|entry| {
            if !entry.is_scheduled() || entry.masked_done < entry.masked_total {
                return true;
            }
            let event = match entry.failure.take() {
                Some(error) => Event::Failed(error),
                None => {
                    let mut output = std::mem::take(&mut entry.output);
                    if entry.request.outputs.contains(OutputKind::MaskedLogprob) {
                        let scores = std::mem::take(&mut entry.masked);
                        let tensor = HostTensor::new(vec![scores.len()], scores);
                        output.push(OutputKind::MaskedLogprob, tensor);
                    }
                    Event::Done(output)
                }
            };
            events.push((entry.request.id, event));
            false
        });
    }
}

impl<D: Device> Execution for EncoderExecution<D> {
    fn admit(&mut self, request: Request) -> Admission {
        if let Some(error) = self.refusal(&request) {
            return Admission::Refused(request, error);
        }
        let model = self.model(request.model);
        let special = model.map_or(0, |model| model.info().special_tokens);
        let scored = request.outputs.contains(OutputKind::MaskedLogprob);
        let plain: OutputSet = request
            .outputs
            .iter()
            .filter(|&kind| kind != OutputKind::MaskedLogprob)
            .collect();
        let masked_total = if scored {
            request.tokens.len() - special
        } else {
            0
        };
        self.in_progress.push_back(InProgress {
            plain,
            plain_scheduled: plain.is_empty() && scored,
            masked_scheduled: 0,
            masked_total,
            masked_done: 0,
            masked: vec![0.0; masked_total],
            output: Output::default(),
            failure: None,
            request,
        });
        Admission::Accepted
    }

    fn step(&mut self, events: &mut Vec<(RequestId, Event)>) -> Result<(), DeviceError> {
        self.schedule();
        if self.pass.jobs.is_empty() {
            return Ok(());
        }
        let model = self.in_progress[self.owners[0].in_progress].request.model;
        let Some(model) = self.model(model).map(Arc::clone) else {
            return Ok(());
        };
        self.outputs.clear();
        match model.forward(
            &mut self.lane,
            &self.pass,
            &mut self.scratch,
            &mut self.outputs,
        ) {
            Ok(()) => self.collect(),
            Err(error) if error.kind() == DeviceErrorKind::OutOfMemory => self.shrink(&error),
            Err(error) => return Err(error),
        }
        self.finish(events);
        Ok(())
    }

    fn give_up_when(&mut self, given_up: Option<GivenUp>) {
        self.lane.give_up_when(given_up);
    }

    fn is_idle(&self) -> bool {
        self.in_progress.is_empty()
    }

    fn take_back(&mut self) -> Vec<Request> {
        self.in_progress
            .drain(..)
            .map(|entry| entry.request)
            .collect()
    }
}
