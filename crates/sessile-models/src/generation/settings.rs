//! Settings as a model's files have them, and changing some of them.

mod file;

use std::sync::Arc;

use sessile_device::{EarlyStopping, GenerationSettings};

use crate::error::{ModelError, ModelErrorKind};
pub use file::settings_from_json;

/// Settings that a user gives; what is not given stays as the model has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingsOverrides {
    /// See [`GenerationSettings::num_beams`].
    pub num_beams: Option<usize>,
    /// See [`GenerationSettings::length_penalty`].
    pub length_penalty: Option<f32>,
    /// See [`GenerationSettings::min_length`].
    pub min_length: Option<usize>,
    /// See [`GenerationSettings::max_length`].
    pub max_length: Option<usize>,
    /// Fewest tokens after the start token, instead of `min_length`.
    pub min_new_tokens: Option<usize>,
    /// Most tokens after the start token, instead of `max_length`.
    pub max_new_tokens: Option<usize>,
    /// See [`GenerationSettings::no_repeat_ngram_size`].
    pub no_repeat_ngram_size: Option<usize>,
    /// See [`GenerationSettings::encoder_no_repeat_ngram_size`].
    pub encoder_no_repeat_ngram_size: Option<usize>,
    /// See [`GenerationSettings::early_stopping`].
    pub early_stopping: Option<EarlyStopping>,
    /// See [`GenerationSettings::repetition_penalty`].
    pub repetition_penalty: Option<f32>,
    /// See [`GenerationSettings::encoder_repetition_penalty`].
    pub encoder_repetition_penalty: Option<f32>,
    /// See [`GenerationSettings::bad_words`].
    pub bad_words: Option<Arc<[Vec<u32>]>>,
    /// See [`GenerationSettings::suppressed_tokens`].
    pub suppressed_tokens: Option<Arc<[u32]>>,
    /// See [`GenerationSettings::begin_suppressed_tokens`].
    pub begin_suppressed_tokens: Option<Arc<[u32]>>,
    /// See [`GenerationSettings::forced_bos_token`].
    pub forced_bos_token: Option<u32>,
    /// See [`GenerationSettings::forced_eos_tokens`].
    pub forced_eos_tokens: Option<Vec<u32>>,
    /// See [`GenerationSettings::do_sample`].
    pub do_sample: Option<bool>,
    /// See [`GenerationSettings::temperature`].
    pub temperature: Option<f32>,
    /// See [`GenerationSettings::top_k`].
    pub top_k: Option<usize>,
    /// See [`GenerationSettings::top_p`].
    pub top_p: Option<f32>,
    /// See [`GenerationSettings::min_p`].
    pub min_p: Option<f32>,
    /// See [`GenerationSettings::seed`].
    pub seed: Option<u64>,
}

impl SettingsOverrides {
    /// `settings` with these changes.
    ///
    /// # Errors
    ///
    /// `Unsupported` when the settings contradict each other or ask for what is not built in.
    pub fn over(&self, settings: &GenerationSettings) -> Result<GenerationSettings, ModelError> {
        let mut settings = settings.clone();
        macro_rules! take {
            ($($name:ident),*) => {
                $(if let Some(value) = &self.$name {
                    settings.$name = value.clone();
                })*
            };
        }
        take!(
            num_beams,
            length_penalty,
            no_repeat_ngram_size,
            encoder_no_repeat_ngram_size,
            early_stopping,
            repetition_penalty,
            encoder_repetition_penalty,
            bad_words,
            suppressed_tokens,
            begin_suppressed_tokens,
            forced_eos_tokens,
            do_sample,
            temperature,
            top_k,
            top_p,
            min_p,
            seed
        );
        settings.forced_bos_token = self.forced_bos_token.or(settings.forced_bos_token);
        let lengths = [
            (
                "min",
                self.min_length,
                self.min_new_tokens,
                &mut settings.min_length,
            ),
            (
                "max",
                self.max_length,
                self.max_new_tokens,
                &mut settings.max_length,
            ),
        ];
        for (end, length, new_tokens, setting) in lengths {
            match (length, new_tokens) {
                (Some(_), Some(_)) => {
                    return refuse(
                        format!("{end}_length and {end}_new_tokens are both given"),
                        "give one of them; the first counts the start token",
                    );
                }
                (Some(length), None) => *setting = length,
                // The start token counts.
                (None, Some(tokens)) => *setting = tokens.saturating_add(1),
                (None, None) => {}
            }
        }
        check(&settings)?;
        Ok(settings)
    }
}

/// The greatest number of beams: a search follows each of them on every step.
const MOST_BEAMS: usize = 64;

fn refuse<T>(what: String, hint: &str) -> Result<T, ModelError> {
    Err(ModelError::new(ModelErrorKind::Unsupported, what).with_hint(hint))
}

fn check(settings: &GenerationSettings) -> Result<(), ModelError> {
    let positive = |value: f32| value > 0.0 && value.is_finite();
    if !(1..=MOST_BEAMS).contains(&settings.num_beams) {
        return refuse(
            format!("num_beams {} is not supported", settings.num_beams),
            "it is 1 to 64",
        );
    }
    if settings.do_sample && settings.num_beams > 1 {
        return refuse(
            "sampling with beams is not built in".to_owned(),
            "set num_beams to 1, or do_sample to false",
        );
    }
    if settings.max_length < 2 {
        return refuse(
            format!(
                "max_length {} leaves no room for a token",
                settings.max_length
            ),
            "it counts the start token; 2 is the least",
        );
    }
    if settings.min_length > settings.max_length {
        return refuse(
            format!(
                "min_length {} is more than max_length {}",
                settings.min_length, settings.max_length
            ),
            "both count tokens of the answer, the start token included",
        );
    }
    if settings.do_sample
        && let Some(name) = settings.unknown_to_sampling
    {
        return refuse(
            format!("the model's files set {name}, which is not built in"),
            "set do_sample to false",
        );
    }
    let factors = [
        ("temperature", settings.temperature),
        ("repetition_penalty", settings.repetition_penalty),
        (
            "encoder_repetition_penalty",
            settings.encoder_repetition_penalty,
        ),
    ];
    if let Some((name, value)) = factors.into_iter().find(|&(_, value)| !positive(value)) {
        return refuse(
            format!("{name} {value} is not more than 0"),
            "1 changes nothing",
        );
    }
    if !(0.0..=1.0).contains(&settings.min_p) {
        return refuse(
            format!("min_p {} is not within 0 and 1", settings.min_p),
            "0 changes nothing",
        );
    }
    if settings.bad_words.iter().any(Vec::is_empty) {
        return refuse(
            "bad_words_ids has a list without a token".to_owned(),
            "it is a list of lists of token ids",
        );
    }
    let is_share = settings.top_p > 0.0 && settings.top_p <= 1.0;
    if !is_share || !settings.length_penalty.is_finite() {
        return refuse(
            format!(
                "top_p {} or length_penalty {}",
                settings.top_p, settings.length_penalty
            ),
            "top_p is more than 0 and at most 1; length_penalty is a number",
        );
    }
    Ok(())
}
