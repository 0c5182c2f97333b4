//! `POST /v1/score`: how likely a sequence is, and how each single mutation changes that.
//!
//! *Masked* scores hide one residue at a time and ask the model for it: a pass for each residue.
//! *Unmasked* scores take one pass over the sequence as it is. A mutation's score is the difference
//! of the log-probabilities of the two residues there (Meier et al., 2021).

use std::time::Instant;

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use sessile_device::{ModelIndex, OutputKind, OutputSet};
use sessile_models::marginals::{Marginals, RESIDUES};
use utoipa::ToSchema;

use super::input::PlainSequences;
use super::items::{Items, List, Usage};
use super::request::{Request, parse, request};
use crate::exchange::{Call, Tag};
use crate::failure::{Failure, FailureKind, Style};
use crate::service::{Engine, Service};
use crate::work::{Done, Job, Terms, Work};

request! {
    /// A request for scores.
    ScoreRequest {
        /// The sequences. `<mask>` has no score.
        pub(crate) input: PlainSequences,
        /// How the log-probabilities are found.
        #[schema(default = "masked")]
        pub(crate) method: Option<Method>,
        /// Whether to send the score of every single mutation.
        #[schema(default = false)]
        pub(crate) mutants: Option<bool>,
    }
}

/// How log-probabilities are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Method {
    /// Every residue is hidden in turn: a pass for each.
    #[default]
    Masked,
    /// One pass, nothing hidden.
    Unmasked,
}

/// The scores of a sequence.
#[derive(Serialize, ToSchema)]
pub(crate) struct ScoreItem {
    /// `score`.
    object: &'static str,
    /// The item's place in the request.
    index: usize,
    /// How they were found.
    method: Method,
    /// The sum of `log_probabilities`.
    pub(crate) log_likelihood: f64,
    /// exp of minus their mean: 1 is certain, 33 is a guess among all tokens.
    pub(crate) pseudo_perplexity: f64,
    /// Natural logarithm of the probability of each residue.
    pub(crate) log_probabilities: Vec<f32>,
    /// Every single mutation, if they were asked for.
    pub(crate) mutants: Option<Mutants>,
}

/// The score of every single mutation.
#[derive(Serialize, ToSchema)]
pub(crate) struct Mutants {
    /// The residue of each column.
    residues: &'static str,
    /// A row per position: log-probability of the column's residue less that of the sequence's
    /// own.
    pub(crate) scores: Vec<Vec<f32>>,
}

/// `POST /v1/score`.
pub(crate) struct PostScore {
    items: Items<Marginals>,
    method: Method,
    mutants: bool,
    mask: u32,
    /// Columns of the twenty residues.
    columns: Vec<usize>,
    vocabulary: usize,
    /// The item whose residues are hidden now, and the next residue to hide.
    at: (usize, usize),
}

impl PostScore {
    fn next_unmasked(&mut self) -> Option<(usize, Job)> {
        let (key, _) = self.at;
        let (index, item) = self
            .items
            .items
            .iter()
            .enumerate()
            .skip(key)
            .find(|(_, item)| item.result.is_none())?;
        self.at.0 = index + 1;
        let job = Job {
            tokens: item.tokens.clone(),
            outputs: OutputSet::default().with(OutputKind::Logits),
        };
        Some((index, job))
    }

    fn next_masked(&mut self) -> Option<(usize, Job)> {
        loop {
            let (index, residue) = self.at;
            let item = self.items.items.get(index)?;
            // The two ends are no residues; an item that failed is not worth more passes.
            let has_failed = matches!(item.result, Some(Err(_)));
            if has_failed || residue + 2 >= item.tokens.len() {
                self.at = (index + 1, 0);
                continue;
            }
            self.at.1 += 1;
            let mut tokens = item.tokens.clone();
            tokens[residue + 1] = self.mask;
            let outputs = OutputSet::default().with(OutputKind::Logits);
            return Some((index, Job { tokens, outputs }));
        }
    }
}

impl Work for PostScore {
    fn model(&self) -> ModelIndex {
        self.items.model
    }

    fn model_name(&self) -> &str {
        &self.items.model_name
    }

    fn next_job(&mut self) -> Option<(usize, Job)> {
        match self.method {
            Method::Masked => self.next_masked(),
            Method::Unmasked => self.next_unmasked(),
        }
    }

    fn take(&mut self, key: usize, done: Done) -> Result<(), Failure> {
        let item = &mut self.items.items[key];
        let output = match done {
            Ok((output, _)) => output,
            Err(failure) => {
                item.result = Some(Err(failure));
                return Ok(());
            }
        };
        let Some(logits) = output.get(OutputKind::Logits) else {
            let failure = Failure::new(FailureKind::Internal, "the answer has no scores");
            item.result = Some(Err(failure));
            return Ok(());
        };
        let result = item.result.get_or_insert_with(|| Ok(Marginals::default()));
        if let Ok(marginals) = result {
            let residues = 1..item.tokens.len() - 1;
            // Answers come in order: the next one of an item is that of its next residue.
            let residues = match self.method {
                Method::Masked => {
                    let next = marginals.len() + 1;
                    next..(next + 1).min(residues.end)
                }
                Method::Unmasked => residues,
            };
            for residue in residues {
                let row = logits.data.chunks_exact(self.vocabulary).nth(residue);
                let truth = item.tokens[residue] as usize;
                marginals.push(row.unwrap_or_default(), truth, &self.columns, self.mutants);
            }
        }
        Ok(())
    }
}

impl Call for PostScore {
    const PATH: &'static str = "/v1/score";
    const TAG: Tag = Tag::Sequences;
    const SUMMARY: &'static str = "How likely sequences and their single mutants are";
    const STYLE: Style = Style::Error;

    type Request = ScoreRequest;
    type Response = List<ScoreItem, Usage>;

    fn models(engine: &Engine) -> Vec<&str> {
        engine.models_with(OutputKind::Logits)
    }

    fn parse(_: &Service, headers: &HeaderMap, body: &[u8]) -> Result<ScoreRequest, Failure> {
        parse(headers, body)
    }

    fn new(service: &Service, engine: &Engine, request: ScoreRequest) -> Result<Self, Failure> {
        let model = engine.model_for(OutputKind::Logits, request.model())?;
        let tokenizer = model.residues()?;
        let mask = tokenizer.special().mask;
        let columns = RESIDUES
            .bytes()
            .map(|residue| tokenizer.letter(residue).map(|id| id as usize))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| {
                let message = "the model's vocabulary lacks some of the twenty residues";
                Failure::new(FailureKind::InvalidRequest, message).about("model")
            })?;
        let mut items: Items<Marginals> = Items::new(service, model, &request, &request.input)?;
        for item in &mut items.items {
            if let Some(at) = item.tokens.iter().position(|&token| token == mask) {
                let message = format!("<mask> at position {at} has no score; give a residue");
                item.result = Some(Err(Failure::invalid("input", message)));
            }
        }
        Ok(PostScore {
            items,
            method: request.method.unwrap_or_default(),
            mutants: request.mutants.unwrap_or_default(),
            mask,
            columns,
            vocabulary: model.info.vocabulary,
            at: (0, 0),
        })
    }

    fn terms(&self) -> Terms {
        self.items.terms
    }

    fn tokens(&self) -> usize {
        match self.method {
            // A pass over all of it for each residue.
            Method::Masked => {
                let items = self.items.items.iter().map(|item| item.tokens.len());
                items.map(|tokens| tokens.saturating_mul(tokens)).sum()
            }
            Method::Unmasked => self.items.tokens,
        }
    }

    fn numbers(&self) -> usize {
        let per_residue = if self.mutants { 1 + RESIDUES.len() } else { 1 };
        self.items.tokens * per_residue
    }

    fn respond(self, _: &Service, _: Instant) -> Result<Self::Response, Failure> {
        let (method, mutants) = (self.method, self.mutants);
        let model = self.items.model_name.clone();
        let usage = Usage::new(self.items.tokens);
        let item = |(index, result): (usize, Result<Marginals, Failure>)| {
            result.map(|marginals| ScoreItem {
                object: "score",
                index,
                method,
                log_likelihood: marginals.log_likelihood(),
                pseudo_perplexity: marginals.pseudo_perplexity(),
                log_probabilities: marginals.log_probabilities,
                mutants: mutants.then_some(Mutants {
                    residues: RESIDUES,
                    scores: marginals.mutants,
                }),
            })
        };
        let results = self.items.finish()?.into_iter().enumerate();
        Ok(List::new(results.map(item).collect(), model, usage))
    }
}
