//! Reading settings from a model's files, and changing some of them.

use serde_json::Value;
use sessile_device::{EarlyStopping, GenerationSettings};

use crate::error::{ModelError, ModelErrorKind};

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
    /// See [`GenerationSettings::no_repeat_ngram_size`].
    pub no_repeat_ngram_size: Option<usize>,
    /// See [`GenerationSettings::early_stopping`].
    pub early_stopping: Option<EarlyStopping>,
    /// See [`GenerationSettings::repetition_penalty`].
    pub repetition_penalty: Option<f32>,
    /// See [`GenerationSettings::do_sample`].
    pub do_sample: Option<bool>,
    /// See [`GenerationSettings::temperature`].
    pub temperature: Option<f32>,
    /// See [`GenerationSettings::top_k`].
    pub top_k: Option<usize>,
    /// See [`GenerationSettings::top_p`].
    pub top_p: Option<f32>,
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
                $(if let Some(value) = self.$name {
                    settings.$name = value;
                })*
            };
        }
        take!(
            num_beams,
            length_penalty,
            min_length,
            max_length,
            no_repeat_ngram_size,
            early_stopping,
            repetition_penalty,
            do_sample,
            temperature,
            top_k,
            top_p,
            seed
        );
        check(&settings)?;
        Ok(settings)
    }
}

/// The greatest number of beams: a search follows each of them on every step.
const MOST_BEAMS: usize = 64;

fn check(settings: &GenerationSettings) -> Result<(), ModelError> {
    let refuse = |what: String, hint: &str| {
        Err(ModelError::new(ModelErrorKind::Unsupported, what).with_hint(hint))
    };
    let positive = |value: f32| value > 0.0 && value.is_finite();
    if !(1..=MOST_BEAMS).contains(&settings.num_beams) {
        return refuse(
            format!("{} beams", settings.num_beams),
            "num_beams is 1 to 64",
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
    if !positive(settings.temperature) || !positive(settings.repetition_penalty) {
        return refuse(
            "temperature and repetition_penalty must be more than 0".to_owned(),
            "1 changes nothing",
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

/// Settings from `generation_config.json`; a key that is not there is looked up in `config.json`,
/// where older models have them, and is the default of `transformers` else.
///
/// # Errors
///
/// `Malformed` when a value is not what it should be; `Unsupported` as for
/// [`SettingsOverrides::over`].
pub fn settings_from_json(
    generation: Option<&Value>,
    config: &Value,
) -> Result<GenerationSettings, ModelError> {
    let source = Source { generation, config };
    let default = GenerationSettings::default();
    let settings = GenerationSettings {
        num_beams: source.count("num_beams")?.unwrap_or(default.num_beams),
        length_penalty: source
            .number("length_penalty")?
            .unwrap_or(default.length_penalty),
        min_length: source.count("min_length")?.unwrap_or(default.min_length),
        max_length: source.count("max_length")?.unwrap_or(default.max_length),
        no_repeat_ngram_size: source
            .count("no_repeat_ngram_size")?
            .unwrap_or(default.no_repeat_ngram_size),
        early_stopping: match source.get("early_stopping") {
            None | Some(Value::Bool(false)) => EarlyStopping::False,
            Some(Value::Bool(true)) => EarlyStopping::True,
            Some(Value::String(text)) if text == "never" => EarlyStopping::Never,
            Some(_) => return Err(malformed("early_stopping", "true, false or \"never\"")),
        },
        repetition_penalty: source
            .number("repetition_penalty")?
            .unwrap_or(default.repetition_penalty),
        do_sample: match source.get("do_sample") {
            None => false,
            Some(value) => value
                .as_bool()
                .ok_or_else(|| malformed("do_sample", "true or false"))?,
        },
        temperature: source.number("temperature")?.unwrap_or(default.temperature),
        top_k: source.count("top_k")?.unwrap_or(default.top_k),
        top_p: source.number("top_p")?.unwrap_or(default.top_p),
        seed: 0,
        decoder_start_token: source
            .token("decoder_start_token_id")?
            .or(source.token("bos_token_id")?)
            .unwrap_or(0),
        eos_tokens: source.tokens("eos_token_id")?,
        forced_bos_token: source.token("forced_bos_token_id")?,
        forced_eos_token: source.tokens("forced_eos_token_id")?.first().copied(),
        allowed_tokens: None,
    };
    check(&settings)?;
    Ok(settings)
}

fn malformed(key: &str, what: &str) -> ModelError {
    ModelError::new(
        ModelErrorKind::Malformed,
        format!("generation_config.json: {key} is not {what}"),
    )
}

/// Two files, the first one before the second.
struct Source<'a> {
    generation: Option<&'a Value>,
    config: &'a Value,
}

impl<'a> Source<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        let value = |file: &'a Value| file.get(key).filter(|value| !value.is_null());
        self.generation
            .and_then(value)
            .or_else(|| value(self.config))
    }

    fn count(&self, key: &str) -> Result<Option<usize>, ModelError> {
        self.get(key)
            .map(|value| {
                value
                    .as_u64()
                    .and_then(|value| usize::try_from(value).ok())
                    .ok_or_else(|| malformed(key, "a whole number"))
            })
            .transpose()
    }

    fn number(&self, key: &str) -> Result<Option<f32>, ModelError> {
        self.get(key)
            .map(|value| {
                value
                    .as_f64()
                    .map(|value| value as f32)
                    .ok_or_else(|| malformed(key, "a number"))
            })
            .transpose()
    }

    fn token(&self, key: &str) -> Result<Option<u32>, ModelError> {
        Ok(self.tokens(key)?.first().copied())
    }

    fn tokens(&self, key: &str) -> Result<Vec<u32>, ModelError> {
        let token = |value: &Value| {
            value
                .as_u64()
                .and_then(|value| u32::try_from(value).ok())
                .ok_or_else(|| malformed(key, "a token id"))
        };
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values.iter().map(token).collect(),
            Some(value) => Ok(vec![token(value)?]),
        }
    }
}
