//! The body of a request that asks for a text.

use serde::Deserialize;
use sessile_device::{EarlyStopping, GenerationSettings};
use sessile_models::generation::SettingsOverrides;
use utoipa::ToSchema;

use crate::failure::{Failure, FailureKind};

/// A request for texts. What is left out is as the model's generation_config.json has it.
#[derive(Deserialize, ToSchema)]
pub(crate) struct WritingRequest {
    /// The model that writes; there is one.
    pub(super) model: Option<String>,
    /// The texts to read.
    pub(super) input: Texts,
    /// Whether the text is sent as it is written, as server-sent events.
    #[schema(default = false)]
    pub(super) stream: Option<bool>,
    /// Whether only the beginning of a text is read that is too long; without it that is an error.
    #[schema(default = false)]
    pub(super) truncate: Option<bool>,
    /// Hypotheses that are followed at once; 1 is greedy search. Only then tokens are streamed one
    /// by one.
    #[schema(minimum = 1, maximum = 64)]
    num_beams: Option<usize>,
    /// More than 0 favours long texts, less than 0 short ones.
    length_penalty: Option<f32>,
    /// Fewest tokens.
    min_length: Option<usize>,
    /// Most tokens.
    #[schema(minimum = 2)]
    max_length: Option<usize>,
    /// No so many tokens in a row appear twice; 0 turns it off.
    no_repeat_ngram_size: Option<usize>,
    /// When beam search stops.
    early_stopping: Option<EarlyStoppingChoice>,
    /// More than 1 makes tokens that were there less likely.
    #[schema(exclusive_minimum = 0.0)]
    repetition_penalty: Option<f32>,
    /// Draw the next token by chance.
    do_sample: Option<bool>,
    /// Less than 1 makes chance bolder for the likely tokens.
    #[schema(exclusive_minimum = 0.0)]
    temperature: Option<f32>,
    /// Draw among so many of the best tokens; 0: among all.
    top_k: Option<usize>,
    /// Draw among the best tokens that together have this probability.
    #[schema(exclusive_minimum = 0.0, maximum = 1.0)]
    top_p: Option<f32>,
    /// What is drawn follows from this number.
    seed: Option<u64>,
    /// 0 is served first, 2 last.
    #[schema(minimum = 0, maximum = 2, default = 1)]
    pub(super) priority: Option<u8>,
    /// Milliseconds after which the answer is not wanted any more.
    #[schema(minimum = 1, maximum = 4294967295_u32)]
    pub(super) timeout_ms: Option<u64>,
}

/// One text, or a list of texts.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "`input` is a text or a list of texts")]
pub(crate) enum Texts {
    /// One text.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Texts {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Texts::One(text) => vec![text],
            Texts::Many(texts) => texts,
        }
    }
}

/// When beam search stops.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "`early_stopping` is true, false or \"never\"")]
pub(crate) enum EarlyStoppingChoice {
    /// As soon as there are as many finished hypotheses as beams, or when none can become better.
    Flag(bool),
    /// When none can become better at any length.
    Never(Never),
}

/// `never`.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Never {
    /// `never`.
    Never,
}

impl WritingRequest {
    /// The model's settings with the request's changes.
    pub(super) fn settings(
        &self,
        model: &GenerationSettings,
    ) -> Result<GenerationSettings, Failure> {
        let samples = self.do_sample == Some(true);
        let overrides = SettingsOverrides {
            // Beams that the model's file asks for do not go with sampling.
            num_beams: self.num_beams.or(samples.then_some(1)),
            length_penalty: self.length_penalty,
            min_length: self.min_length,
            max_length: self.max_length,
            no_repeat_ngram_size: self.no_repeat_ngram_size,
            early_stopping: self.early_stopping.map(|choice| match choice {
                EarlyStoppingChoice::Flag(true) => EarlyStopping::True,
                EarlyStoppingChoice::Flag(false) => EarlyStopping::False,
                EarlyStoppingChoice::Never(Never::Never) => EarlyStopping::Never,
            }),
            repetition_penalty: self.repetition_penalty,
            do_sample: self.do_sample,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            seed: self.seed,
        };
        overrides.over(model).map_err(|error| {
            let hint = error
                .hint()
                .map_or_else(String::new, |hint| format!("; {hint}"));
            Failure::new(FailureKind::InvalidRequest, format!("{error}{hint}"))
        })
    }
}
