//! How text is generated: the numbers that `transformers` calls a generation configuration.

use std::sync::Arc;

/// When beam search stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyStopping {
    /// As soon as there are as many finished hypotheses as beams.
    True,
    /// When the best running hypothesis can not become better than the worst finished one, judged
    /// at its present length.
    #[default]
    False,
    /// The same, judged at the greatest length when long hypotheses are favoured.
    Never,
}

/// How the next tokens are chosen. Names and meanings are those of `transformers`.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationSettings {
    /// Hypotheses that are followed at once; 1 is greedy search.
    pub num_beams: usize,
    /// A hypothesis counts `score / length^penalty`.
    pub length_penalty: f32,
    /// Fewest tokens, the first (start) token included.
    pub min_length: usize,
    /// Most tokens, the first (start) token included.
    pub max_length: usize,
    /// Never repeat an n-gram of this size; 0: anything may.
    pub no_repeat_ngram_size: usize,
    /// Never repeat an n-gram of the source of this size; 0: anything may.
    pub encoder_no_repeat_ngram_size: usize,
    /// When beam search stops.
    pub early_stopping: EarlyStopping,
    /// Scores of tokens that were there are divided by this (or multiplied, when negative).
    pub repetition_penalty: f32,
    /// Scores of the source's tokens are multiplied by this (or divided, when negative).
    pub encoder_repetition_penalty: f32,
    /// Added to the score of a sequence's last token where its other tokens stand before.
    pub sequence_bias: Arc<[(Vec<u32>, f32)]>,
    /// Sequences that are never written.
    pub bad_words: Arc<[Vec<u32>]>,
    /// Tokens that are never written.
    pub suppressed_tokens: Arc<[u32]>,
    /// Tokens that the text does not begin with.
    pub begin_suppressed_tokens: Arc<[u32]>,
    /// From this number of new tokens on, ending becomes likelier by this factor with each token.
    pub exponential_decay_length_penalty: Option<(usize, f32)>,
    /// Whether scores without a finite value become the least or the greatest number.
    pub remove_invalid_values: bool,
    /// Whether scores are log-probabilities again after all changes.
    pub renormalize_logits: bool,
    /// Whether the next token is drawn by chance.
    pub do_sample: bool,
    /// Scores are divided by this before drawing.
    pub temperature: f32,
    /// Draws among so many of the best tokens; 0: all.
    pub top_k: usize,
    /// Draws among the best tokens that together have this probability.
    pub top_p: f32,
    /// Draws among the tokens with at least this share of the best one's probability.
    pub min_p: f32,
    /// What is drawn follows from this number, whatever else is computed beside it.
    pub seed: u64,
    /// The first token.
    pub decoder_start_token: u32,
    /// The tokens that end a text.
    pub eos_tokens: Vec<u32>,
    /// What the second token must be.
    pub forced_bos_token: Option<u32>,
    /// What the last possible token must be, one of these; empty: anything.
    pub forced_eos_tokens: Vec<u32>,
    /// A setting for drawing that the model's files have and that is not built in.
    pub unknown_to_sampling: Option<&'static str>,
    /// The only tokens that may be written, those above aside; `None`: all.
    pub allowed_tokens: Option<Arc<[u32]>>,
}

impl GenerationSettings {
    /// All tokens that are named here, with the setting that names them.
    pub fn named_tokens(&self) -> impl Iterator<Item = (&'static str, u32)> {
        fn all(name: &'static str, tokens: &[u32]) -> impl Iterator<Item = (&'static str, u32)> {
            tokens.iter().map(move |&token| (name, token))
        }
        [("decoder_start_token_id", self.decoder_start_token)]
            .into_iter()
            .chain(all("eos_token_id", &self.eos_tokens))
            .chain(
                self.forced_bos_token
                    .map(|token| ("forced_bos_token_id", token)),
            )
            .chain(all("forced_eos_token_id", &self.forced_eos_tokens))
            .chain(all("suppress_tokens", &self.suppressed_tokens))
            .chain(all("begin_suppress_tokens", &self.begin_suppressed_tokens))
            .chain(
                self.bad_words
                    .iter()
                    .flat_map(move |words| all("bad_words_ids", words)),
            )
            .chain(
                (self.sequence_bias.iter()).flat_map(move |(words, _)| all("sequence_bias", words)),
            )
    }
}

impl Default for GenerationSettings {
    fn default() -> Self {
        GenerationSettings {
            num_beams: 1,
            length_penalty: 1.0,
            min_length: 0,
            max_length: 20,
            no_repeat_ngram_size: 0,
            encoder_no_repeat_ngram_size: 0,
            early_stopping: EarlyStopping::False,
            repetition_penalty: 1.0,
            encoder_repetition_penalty: 1.0,
            sequence_bias: Arc::default(),
            bad_words: Arc::default(),
            suppressed_tokens: Arc::default(),
            begin_suppressed_tokens: Arc::default(),
            exponential_decay_length_penalty: None,
            remove_invalid_values: false,
            renormalize_logits: false,
            do_sample: false,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            min_p: 0.0,
            seed: 0,
            decoder_start_token: 0,
            eos_tokens: Vec::new(),
            forced_bos_token: None,
            forced_eos_tokens: Vec::new(),
            unknown_to_sampling: None,
            allowed_tokens: None,
        }
    }
}
