//! The body of a request that asks for a text.

use serde::Deserialize;
use sessile_device::{EarlyStopping, GenerationSettings};
use sessile_models::generation::SettingsOverrides;
use utoipa::ToSchema;

use crate::failure::{Failure, FailureKind};
use crate::json::whole;
use crate::v1::input::Texts;
use crate::v1::request::request;

request! {
    /// A request for texts. What is left out is as the model's generation_config.json has it.
    WritingRequest {
        /// The texts to read.
        pub(crate) input: Texts,
        /// Whether the text is sent as it is written, as server-sent events.
        #[schema(default = false)]
        pub(crate) stream: Option<bool>,
        /// Whether only the beginning of a text is read that is too long; without it that is an error.
        #[schema(default = false)]
        pub(crate) truncate: Option<bool>,
        /// Hypotheses that are followed at once; 1 is greedy search. Only then tokens are streamed one
        /// by one.
        #[schema(minimum = 1, maximum = 64)]
        #[serde(default, deserialize_with = "whole::optional")]
        pub(crate) num_beams: Option<usize>,
        /// More than 0 favours long texts, less than 0 short ones.
        #[schema(minimum = -1000000.0, maximum = 1000000.0)]
        pub(crate) length_penalty: Option<f32>,
        /// Fewest tokens.
        #[serde(default, deserialize_with = "whole::optional")]
        pub(crate) min_length: Option<usize>,
        /// Most tokens.
        #[schema(minimum = 2)]
        #[serde(default, deserialize_with = "whole::optional")]
        pub(crate) max_length: Option<usize>,
        /// Fewest tokens, the start token not counted; instead of `min_length`.
        #[serde(default, deserialize_with = "whole::optional")]
        pub(crate) min_new_tokens: Option<usize>,
        /// Most tokens, the start token not counted; instead of `max_length`.
        #[schema(minimum = 1)]
        #[serde(default, deserialize_with = "whole::optional")]
        pub(crate) max_new_tokens: Option<usize>,
        /// Never repeat an n-gram of this size; 0 turns it off.
        #[schema(maximum = 1000000)]
        #[serde(default, deserialize_with = "whole::optional")]
        pub(crate) no_repeat_ngram_size: Option<usize>,
        /// Never repeat an n-gram of the source of this size; 0 turns it off.
        #[schema(maximum = 1000000)]
        #[serde(default, deserialize_with = "whole::optional")]
        pub(crate) encoder_no_repeat_ngram_size: Option<usize>,
        /// Lists of tokens that are never written one after the other.
        #[serde(default, deserialize_with = "whole::lists")]
        pub(crate) bad_words_ids: Option<Vec<Vec<u32>>>,
        /// Tokens that are never written.
        #[serde(default, deserialize_with = "whole::list")]
        pub(crate) suppress_tokens: Option<Vec<u32>>,
        /// Tokens that the text does not begin with.
        #[serde(default, deserialize_with = "whole::list")]
        pub(crate) begin_suppress_tokens: Option<Vec<u32>>,
        /// The token that the text begins with.
        #[serde(default, deserialize_with = "whole::optional")]
        pub(crate) forced_bos_token_id: Option<u32>,
        /// The token that ends a text of the greatest length.
        #[serde(default, deserialize_with = "whole::optional")]
        pub(crate) forced_eos_token_id: Option<u32>,
        /// When beam search stops.
        pub(crate) early_stopping: Option<EarlyStoppingChoice>,
        /// More than 1 makes tokens that were there less likely.
        #[schema(minimum = 0.000001, maximum = 1000000.0)]
        pub(crate) repetition_penalty: Option<f32>,
        /// More than 1 makes the tokens of the source likelier.
        #[schema(minimum = 0.000001, maximum = 1000000.0)]
        pub(crate) encoder_repetition_penalty: Option<f32>,
        /// Draw the next token by chance.
        pub(crate) do_sample: Option<bool>,
        /// Less than 1 makes chance bolder for the likely tokens.
        #[schema(minimum = 0.000001, maximum = 1000000.0)]
        pub(crate) temperature: Option<f32>,
        /// Draw among so many of the best tokens; 0: among all.
        #[schema(maximum = 1000000)]
        #[serde(default, deserialize_with = "whole::optional")]
        pub(crate) top_k: Option<usize>,
        /// Draw among the best tokens that together have this probability.
        #[schema(minimum = 0.000001, maximum = 1.0)]
        pub(crate) top_p: Option<f32>,
        /// Draw among the tokens with at least this share of the best one's probability.
        #[schema(minimum = 0.0, maximum = 1.0)]
        pub(crate) min_p: Option<f32>,
        /// What is drawn follows from this number.
        #[schema(maximum = 9007199254740991_u64)]
        #[serde(default, deserialize_with = "whole::optional")]
        pub(crate) seed: Option<u64>,
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

/// The least factor or probability: what is less may be no number above 0 any more in f32.
const LEAST: f32 = 0.000_001;

/// The greatest: beyond it scores are no numbers any more.
const MOST: f32 = 1e6;

/// Entries of all lists of tokens together: they are walked through for every token that is
/// written.
const MOST_LISTED: usize = 4096;

/// The largest seed that every JSON library passes on as it is.
const LARGEST_SEED: u64 = (1 << 53) - 1;

impl WritingRequest {
    /// What is too small or too great to reckon with.
    fn check_numbers(&self) -> Result<(), Failure> {
        let factors = [
            ("repetition_penalty", self.repetition_penalty),
            (
                "encoder_repetition_penalty",
                self.encoder_repetition_penalty,
            ),
            ("temperature", self.temperature),
            ("top_p", self.top_p),
        ];
        for (name, factor) in factors {
            if factor.is_some_and(|factor| !(LEAST..=MOST).contains(&factor)) {
                let message = format!("{name} must be within {LEAST} and {MOST}");
                return Err(Failure::invalid(name, message));
            }
        }
        if self
            .length_penalty
            .is_some_and(|penalty| penalty.is_nan() || penalty.abs() > MOST)
        {
            let message = format!("length_penalty must be within -{MOST} and {MOST}");
            return Err(Failure::invalid("length_penalty", message));
        }
        let counts = [
            (
                "no_repeat_ngram_size",
                self.no_repeat_ngram_size,
                MOST as u64,
            ),
            (
                "encoder_no_repeat_ngram_size",
                self.encoder_no_repeat_ngram_size,
                MOST as u64,
            ),
            ("top_k", self.top_k, MOST as u64),
        ];
        let counts =
            counts.map(|(name, count, most)| (name, count.map(|count| count as u64), most));
        for (name, count, most) in counts
            .into_iter()
            .chain([("seed", self.seed, LARGEST_SEED)])
        {
            if count.is_some_and(|count| count > most) {
                let message = format!("{name} must be at most {most}");
                return Err(Failure::invalid(name, message));
            }
        }
        let bad_words = self.bad_words_ids.iter().flatten();
        let listed = [&self.suppress_tokens, &self.begin_suppress_tokens]
            .into_iter()
            .flatten()
            .chain(bad_words)
            .map(|tokens| tokens.len() + 1)
            .sum::<usize>();
        if listed > MOST_LISTED {
            let message = format!("the lists of tokens have more than {MOST_LISTED} entries");
            return Err(Failure::new(FailureKind::TooLarge, message));
        }
        Ok(())
    }

    /// The model's settings with the request's changes; `most` is the longest answer of the model,
    /// `vocabulary` the number of its tokens.
    pub(super) fn settings(
        &self,
        model: &GenerationSettings,
        most: usize,
        vocabulary: usize,
    ) -> Result<GenerationSettings, Failure> {
        self.check_numbers()?;
        let new_tokens = self.max_new_tokens.map(|tokens| tokens.saturating_add(1));
        for (name, asked, most) in [
            ("max_length", self.max_length, most),
            (
                "max_new_tokens",
                self.max_new_tokens,
                most.saturating_sub(1),
            ),
        ] {
            if let Some(asked) = asked.filter(|&asked| asked > most) {
                let message = format!("{name} {asked} is more than the model's {most}");
                return Err(Failure::invalid(name, message));
            }
        }
        let longest = self.max_length.or(new_tokens);
        let samples = self.do_sample == Some(true);
        let overrides =
            SettingsOverrides {
                // Beams that the model's file asks for do not go with sampling.
                num_beams: self.num_beams.or(samples.then_some(1)),
                length_penalty: self.length_penalty,
                // What the model's file asks for at least gives way to what a request wants at most.
                min_length: self.min_length.or(longest
                    .filter(|&most| most < model.min_length && self.min_new_tokens.is_none())),
                max_length: self.max_length,
                min_new_tokens: self.min_new_tokens,
                max_new_tokens: self.max_new_tokens,
                no_repeat_ngram_size: self.no_repeat_ngram_size,
                encoder_no_repeat_ngram_size: self.encoder_no_repeat_ngram_size,
                early_stopping: self.early_stopping.map(|choice| match choice {
                    EarlyStoppingChoice::Flag(true) => EarlyStopping::True,
                    EarlyStoppingChoice::Flag(false) => EarlyStopping::False,
                    EarlyStoppingChoice::Never(Never::Never) => EarlyStopping::Never,
                }),
                repetition_penalty: self.repetition_penalty,
                encoder_repetition_penalty: self.encoder_repetition_penalty,
                bad_words: self.bad_words_ids.as_deref().map(Into::into),
                suppressed_tokens: self.suppress_tokens.as_deref().map(Into::into),
                begin_suppressed_tokens: self.begin_suppress_tokens.as_deref().map(Into::into),
                forced_bos_token: self.forced_bos_token_id,
                forced_eos_tokens: self.forced_eos_token_id.map(|token| vec![token]),
                do_sample: self.do_sample,
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                min_p: self.min_p,
                seed: self.seed,
            };
        let settings = overrides.over(model).map_err(|error| {
            let hint = error
                .hint()
                .map_or_else(String::new, |hint| format!("; {hint}"));
            Failure::new(FailureKind::InvalidRequest, format!("{error}{hint}"))
        })?;
        let mut named = settings.named_tokens();
        match named.find(|&(_, token)| token as usize >= vocabulary) {
            None => {}
            Some((name, token)) => {
                let message = format!(
                    "{name} has token {token}, which is not one of the model's {vocabulary}"
                );
                return Err(Failure::invalid(name, message));
            }
        }
        drop(named);
        Ok(settings)
    }
}
