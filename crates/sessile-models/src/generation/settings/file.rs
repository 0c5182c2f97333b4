//! Settings from a model's files, with the rules of `transformers`.
//!
//! `generation_config.json` holds alone where it exists. Older models have the same keys in
//! `config.json`, and the class of the model fills in what is missing there. A key that would change
//! the answer and is not built in is refused by its name.

use serde_json::Value;
use sessile_device::{EarlyStopping, GenerationSettings};

use super::check;
use crate::error::{ModelError, ModelErrorKind};

/// Longest lists of tokens that are read from a file. They are walked through for every token that
/// is written.
const MOST_LISTED: usize = 1 << 20;

/// New tokens where no file says how many, the start token not counted.
const DEFAULT_NEW_TOKENS: usize = 20;

/// Whether a value changes nothing.
type IsNeutral = fn(&Value) -> bool;

/// Keys that change the answer and are not built in.
const NOT_BUILT_IN: [(&str, IsNeutral); 19] = [
    ("num_beam_groups", at_most_one),
    ("num_return_sequences", at_most_one),
    ("diversity_penalty", is_zero),
    ("penalty_alpha", is_zero),
    ("guidance_scale", is_one),
    ("stop_strings", is_nothing),
    ("max_time", is_nothing),
    ("constraints", is_nothing),
    ("force_words_ids", is_nothing),
    ("forced_decoder_ids", is_nothing),
    ("watermarking_config", is_nothing),
    ("prompt_lookup_num_tokens", is_nothing),
    ("assistant_early_exit", is_nothing),
    ("assistant_ensemble_weight", is_nothing),
    ("speculation_type", is_nothing),
    ("use_mtp", is_nothing),
    ("dola_layers", is_nothing),
    ("token_healing", is_nothing),
    ("cache_implementation", is_exact_cache),
];

/// The same for drawing by chance; without effect on any other search.
const NOT_DRAWN_BY: [(&str, IsNeutral); 4] = [
    ("typical_p", is_one),
    ("epsilon_cutoff", is_zero),
    ("eta_cutoff", is_zero),
    ("top_h", is_nothing),
];

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::Array(values) => values.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn is_one(value: &Value) -> bool {
    value.as_f64() == Some(1.0)
}

fn at_most_one(value: &Value) -> bool {
    value.as_u64().is_some_and(|value| value <= 1)
}

fn is_exact_cache(value: &Value) -> bool {
    value.as_str().is_some_and(|name| name != "quantized")
}

/// Settings from `generation_config.json`, or from `config.json` of a model without that file.
///
/// # Errors
///
/// `Malformed` when a value is not what it should be; `Unsupported` for a setting that is not built
/// in, and as for [`SettingsOverrides::over`](super::SettingsOverrides::over).
pub fn settings_from_json(
    generation: Option<&Value>,
    config: &Value,
) -> Result<GenerationSettings, ModelError> {
    let source = match generation {
        Some(values) => Source {
            file: "generation_config.json",
            values,
            defaults: &[],
        },
        None => Source {
            file: "config.json",
            values: config,
            defaults: class_defaults(config),
        },
    };
    for (key, is_neutral) in NOT_BUILT_IN {
        if let Some(value) = source.get(key).filter(|value| !is_neutral(value)) {
            return Err(source.unsupported(key, value));
        }
    }
    let unknown_to_sampling = NOT_DRAWN_BY.into_iter().find(|(key, is_neutral)| {
        let value = source.get(key);
        value.is_some_and(|value| !is_neutral(value))
    });
    let default = GenerationSettings::default();
    let start = source
        .token("decoder_start_token_id")?
        .or(source.token("bos_token_id")?)
        .ok_or_else(|| source.malformed("decoder_start_token_id", "there"))?;
    let mut forced_bos_token = source.token("forced_bos_token_id")?;
    if generation.is_none() && forced_bos_token.is_none() {
        // What BART's configurations said before there was a key for the token.
        let forces = source.flag("force_bos_token_to_be_generated")?;
        forced_bos_token = source.token("bos_token_id")?.filter(|_| forces);
    }
    let eos_tokens = source.tokens("eos_token_id")?;
    let max_length = max_length(&source, generation.is_some(), config)?;
    let min_length = match source.count("min_new_tokens")? {
        Some(tokens) => tokens.saturating_add(1),
        None => source.count("min_length")?.unwrap_or(default.min_length),
    };
    let settings = GenerationSettings {
        num_beams: source.count("num_beams")?.unwrap_or(default.num_beams),
        length_penalty: (source.number("length_penalty")?).unwrap_or(default.length_penalty),
        // A text that would have to be longer than it may be ends where it must.
        min_length: min_length.min(max_length),
        max_length,
        no_repeat_ngram_size: (source.count("no_repeat_ngram_size")?).unwrap_or_default(),
        encoder_no_repeat_ngram_size: (source.count("encoder_no_repeat_ngram_size")?)
            .unwrap_or_default(),
        early_stopping: match source.get("early_stopping") {
            None | Some(Value::Bool(false)) => EarlyStopping::False,
            Some(Value::Bool(true)) => EarlyStopping::True,
            Some(Value::String(text)) if text == "never" => EarlyStopping::Never,
            Some(_) => return Err(source.malformed("early_stopping", "true, false or \"never\"")),
        },
        repetition_penalty: (source.number("repetition_penalty")?)
            .unwrap_or(default.repetition_penalty),
        encoder_repetition_penalty: (source.number("encoder_repetition_penalty")?)
            .unwrap_or(default.encoder_repetition_penalty),
        sequence_bias: source.biases("sequence_bias")?.into(),
        // Ending a text can not be forbidden.
        bad_words: (source.token_lists("bad_words_ids")?.into_iter())
            .filter(|words| !matches!(words[..], [only] if eos_tokens.contains(&only)))
            .collect(),
        suppressed_tokens: source.tokens("suppress_tokens")?.into(),
        begin_suppressed_tokens: source.tokens("begin_suppress_tokens")?.into(),
        exponential_decay_length_penalty: source.decay("exponential_decay_length_penalty")?,
        remove_invalid_values: source.flag("remove_invalid_values")?,
        renormalize_logits: source.flag("renormalize_logits")?,
        do_sample: source.flag("do_sample")?,
        temperature: source.number("temperature")?.unwrap_or(default.temperature),
        top_k: source.count("top_k")?.unwrap_or(default.top_k),
        top_p: source.number("top_p")?.unwrap_or(default.top_p),
        min_p: source.number("min_p")?.unwrap_or(default.min_p),
        seed: 0,
        decoder_start_token: start,
        eos_tokens,
        forced_bos_token,
        forced_eos_tokens: source.tokens("forced_eos_token_id")?,
        unknown_to_sampling: unknown_to_sampling.map(|(key, _)| key),
        allowed_tokens: None,
    };
    check(&settings)?;
    Ok(settings)
}

/// What the class of the model fills in.
fn class_defaults(config: &Value) -> &'static [(&'static str, u32)] {
    match config.get("model_type").and_then(Value::as_str) {
        Some("bart") => &[
            ("bos_token_id", 0),
            ("eos_token_id", 2),
            ("decoder_start_token_id", 2),
            ("forced_eos_token_id", 2),
        ],
        Some("t5") => &[("eos_token_id", 1)],
        _ => &[],
    }
}

fn max_length(
    source: &Source<'_>,
    has_own_file: bool,
    config: &Value,
) -> Result<usize, ModelError> {
    if let Some(tokens) = source.count("max_new_tokens")? {
        return Ok(tokens.saturating_add(1));
    }
    if let Some(length) = source.count("max_length")? {
        return Ok(length);
    }
    // The versions that wrote models without a file of their own counted the start token.
    if !has_own_file {
        return Ok(DEFAULT_NEW_TOKENS);
    }
    let positions = config
        .get("max_position_embeddings")
        .and_then(Value::as_u64);
    let positions = positions.and_then(|positions| usize::try_from(positions).ok());
    Ok(positions.map_or(DEFAULT_NEW_TOKENS + 1, |most| {
        most.min(DEFAULT_NEW_TOKENS + 1)
    }))
}

/// The file that holds.
struct Source<'a> {
    file: &'static str,
    values: &'a Value,
    /// Tokens of keys that the file does not have.
    defaults: &'static [(&'static str, u32)],
}

impl<'a> Source<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    fn malformed(&self, key: &str, what: &str) -> ModelError {
        let message = format!("{}: {key} is not {what}", self.file);
        ModelError::new(ModelErrorKind::Malformed, message)
    }

    fn unsupported(&self, key: &str, value: &Value) -> ModelError {
        let mut value = value.to_string();
        if value.chars().count() > 40 {
            value = value.chars().take(40).chain(['…']).collect();
        }
        let message = format!("{}: {key} = {value} is not supported", self.file);
        ModelError::new(ModelErrorKind::Unsupported, message)
            .with_hint("remove it if the answers without it are what you want")
    }

    fn count(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let count = |value: &Value| {
            let count = value.as_u64().and_then(|value| usize::try_from(value).ok());
            count.ok_or_else(|| self.malformed(key, "a whole number"))
        };
        self.get(key).map(count).transpose()
    }

    fn number(&self, key: &str) -> Result<Option<f32>, ModelError> {
        let number = |value: &Value| {
            number(value).ok_or_else(|| self.malformed(key, "a number of usual size"))
        };
        self.get(key).map(number).transpose()
    }

    fn flag(&self, key: &str) -> Result<bool, ModelError> {
        self.get(key).map_or(Ok(false), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.malformed(key, "true or false"))
        })
    }

    fn token(&self, key: &str) -> Result<Option<u32>, ModelError> {
        match self.tokens(key)?[..] {
            [] => Ok(None),
            [token] => Ok(Some(token)),
            _ => Err(self.malformed(key, "a single token id")),
        }
    }

    fn tokens(&self, key: &str) -> Result<Vec<u32>, ModelError> {
        match self.values.get(key) {
            None => {
                let default = self.defaults.iter().find(|(name, _)| *name == key);
                Ok(default.map(|&(_, token)| token).into_iter().collect())
            }
            Some(Value::Null) => Ok(Vec::new()),
            Some(value @ Value::Number(_)) => Ok(vec![self.id(key, value)?]),
            Some(value) => self.list(key, value),
        }
    }

    fn id(&self, key: &str, value: &Value) -> Result<u32, ModelError> {
        let id = value.as_u64().and_then(|value| u32::try_from(value).ok());
        id.ok_or_else(|| self.malformed(key, &format!("a token id: {value}")))
    }

    fn list(&self, key: &str, value: &Value) -> Result<Vec<u32>, ModelError> {
        let values = value
            .as_array()
            .filter(|values| values.len() <= MOST_LISTED);
        let values = values.ok_or_else(|| self.malformed(key, "a list of token ids"))?;
        values.iter().map(|value| self.id(key, value)).collect()
    }

    /// A list of lists of tokens.
    fn token_lists(&self, key: &str) -> Result<Vec<Vec<u32>>, ModelError> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let lists = value.as_array().filter(|lists| lists.len() <= MOST_LISTED);
        let lists = lists.ok_or_else(|| self.malformed(key, "a list of lists of token ids"))?;
        lists.iter().map(|list| self.list(key, list)).collect()
    }

    /// A list of pairs: tokens, and what is added to the score of the last.
    fn biases(&self, key: &str) -> Result<Vec<(Vec<u32>, f32)>, ModelError> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let wrong = || self.malformed(key, "a list of pairs of token ids and a number");
        let pairs = value.as_array().filter(|pairs| pairs.len() <= MOST_LISTED);
        let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
            Some([tokens, bias]) => {
                let tokens = self.list(key, tokens)?;
                let bias = number(bias).filter(|_| !tokens.is_empty());
                Ok((tokens, bias.ok_or_else(wrong)?))
            }
            _ => Err(wrong()),
        };
        pairs.ok_or_else(wrong)?.iter().map(pair).collect()
    }

    /// A number of tokens, and a factor.
    fn decay(&self, key: &str) -> Result<Option<(usize, f32)>, ModelError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let pair = match value.as_array().map(Vec::as_slice) {
            Some([start, factor]) => (start.as_u64())
                .and_then(|start| usize::try_from(start).ok())
                .zip(number(factor).filter(|&factor| factor > 0.0)),
            _ => None,
        };
        pair.map(Some)
            .ok_or_else(|| self.malformed(key, "a number of tokens and a factor above 0"))
    }
}

/// A number that f32 can hold.
fn number(value: &Value) -> Option<f32> {
    let number = value.as_f64()? as f32;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain() -> Value {
        json!({ "decoder_start_token_id": 2, "eos_token_id": 2 })
    }

    #[test]
    fn a_generation_config_holds_alone() {
        let config = json!({
            "model_type": "bart", "num_beams": 4, "min_length": 8, "forced_bos_token_id": 0,
            "no_repeat_ngram_size": 3, "force_bos_token_to_be_generated": true,
            "max_position_embeddings": 1024,
        });
        let settings = settings_from_json(Some(&plain()), &config).unwrap();
        let expected = GenerationSettings {
            decoder_start_token: 2,
            eos_tokens: vec![2],
            // New tokens are counted where no file says how many.
            max_length: 21,
            ..GenerationSettings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn without_one_the_configuration_holds_and_the_class_fills_in() {
        let config = json!({
            "model_type": "bart", "num_beams": 4, "max_length": null,
            "force_bos_token_to_be_generated": true,
        });
        let settings = settings_from_json(None, &config).unwrap();
        let expected = GenerationSettings {
            num_beams: 4,
            decoder_start_token: 2,
            eos_tokens: vec![2],
            forced_bos_token: Some(0),
            forced_eos_tokens: vec![2],
            ..GenerationSettings::default()
        };
        assert_eq!(settings, expected);
        // A token that is set to nothing is none.
        let config = json!({ "model_type": "bart", "forced_eos_token_id": null });
        let settings = settings_from_json(None, &config).unwrap();
        assert!(settings.forced_eos_tokens.is_empty());
    }

    #[test]
    fn a_setting_that_is_not_built_in_is_refused_by_its_name() {
        let cases = [
            ("num_beam_groups", json!(2), json!(1)),
            ("num_return_sequences", json!(3), json!(1)),
            ("diversity_penalty", json!(0.5), json!(0.0)),
            ("penalty_alpha", json!(0.6), json!(0.0)),
            ("guidance_scale", json!(1.5), json!(1)),
            ("stop_strings", json!(["."]), json!([])),
            ("max_time", json!(1.0), Value::Null),
            ("constraints", json!([{}]), Value::Null),
            ("force_words_ids", json!([[5]]), json!([])),
            ("forced_decoder_ids", json!([[1, 5]]), Value::Null),
            ("watermarking_config", json!({ "bias": 2.5 }), Value::Null),
            ("prompt_lookup_num_tokens", json!(3), Value::Null),
            ("assistant_early_exit", json!(4), Value::Null),
            ("dola_layers", json!("high"), Value::Null),
            ("token_healing", json!(true), json!(false)),
            ("cache_implementation", json!("quantized"), json!("static")),
        ];
        for (key, value, neutral) in cases {
            let mut file = plain();
            file[key] = value;
            let error = settings_from_json(Some(&file), &json!({})).unwrap_err();
            assert_eq!(error.kind(), ModelErrorKind::Unsupported, "{key}");
            assert!(error.to_string().contains(key), "{error}");
            // An older model has the same key elsewhere.
            assert!(settings_from_json(None, &file).is_err(), "{key}");
            file[key] = neutral;
            assert!(settings_from_json(Some(&file), &json!({})).is_ok(), "{key}");
        }
    }

    #[test]
    fn a_filter_that_is_not_built_in_matters_only_to_drawing() {
        for (key, value) in [
            ("typical_p", json!(0.9)),
            ("epsilon_cutoff", json!(0.001)),
            ("eta_cutoff", json!(0.001)),
            ("top_h", json!(0.4)),
        ] {
            let mut file = plain();
            file[key] = value;
            let settings = settings_from_json(Some(&file), &json!({})).unwrap();
            let draws = super::super::SettingsOverrides {
                do_sample: Some(true),
                ..Default::default()
            };
            let error = draws.over(&settings).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
            file["do_sample"] = json!(true);
            assert!(
                settings_from_json(Some(&file), &json!({})).is_err(),
                "{key}"
            );
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named() {
        for (key, value) in [
            ("decoder_start_token_id", json!([1, 2])),
            ("eos_token_id", json!(-1)),
            ("forced_eos_token_id", json!(4_294_967_296_u64)),
            ("max_new_tokens", json!(2.5)),
            ("length_penalty", json!(1e60)),
            ("bad_words_ids", json!([1])),
            ("bad_words_ids", json!([[]])),
            ("suppress_tokens", json!("5")),
            ("sequence_bias", json!([[[1]]])),
            ("exponential_decay_length_penalty", json!([1])),
            ("early_stopping", json!("often")),
            ("do_sample", json!(1)),
            ("min_p", json!(2)),
        ] {
            let mut file = plain();
            file[key] = value;
            let error = settings_from_json(Some(&file), &json!({})).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
