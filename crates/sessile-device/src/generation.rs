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
    /// No so many tokens in a row appear twice; 0: anything may.
    pub no_repeat_ngram_size: usize,
    /// When beam search stops.
    pub early_stopping: EarlyStopping,
    /// Scores of tokens that were there are divided by this (or multiplied, when negative).
    pub repetition_penalty: f32,
    /// Whether the next token is drawn by chance.
    pub do_sample: bool,
    /// Scores are divided by this before drawing.
    pub temperature: f32,
    /// Draws among so many of the best tokens; 0: all.
    pub top_k: usize,
    /// Draws among the best tokens that together have this probability.
    pub top_p: f32,
    /// What is drawn follows from this number, whatever else is computed beside it.
    pub seed: u64,
    /// The first token.
    pub decoder_start_token: u32,
    /// The tokens that end a text.
    pub eos_tokens: Vec<u32>,
    /// What the second token must be.
    pub forced_bos_token: Option<u32>,
    /// What the last possible token must be.
    pub forced_eos_token: Option<u32>,
    /// The only tokens that may be written, those above aside; `None`: all.
    pub allowed_tokens: Option<Arc<[u32]>>,
}

impl Default for GenerationSettings {
    fn default() -> Self {
        GenerationSettings {
            num_beams: 1,
            length_penalty: 1.0,
            min_length: 0,
            max_length: 20,
            no_repeat_ngram_size: 0,
            early_stopping: EarlyStopping::False,
            repetition_penalty: 1.0,
            do_sample: false,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            seed: 0,
            decoder_start_token: 0,
            eos_tokens: Vec::new(),
            forced_bos_token: None,
            forced_eos_token: None,
            allowed_tokens: None,
        }
    }
}
