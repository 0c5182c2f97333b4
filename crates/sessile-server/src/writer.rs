//! The model that writes, beside those that read sequences: at most one.

use sessile_device::{GenerationSettings, ModelIndex};
use sessile_models::t5::DEFAULT_TOKENS;
use sessile_models::tokenizer::TextTokenizer;
use sessile_models::{Model, ModelInfo, Writing};
use sessile_runtime::{Pool, RuntimeError, Usual, WritingOptions};

/// Tokens of a protein that memory is planned for, beside one of the longest.
const USUAL_TOKENS: usize = 512;

/// A resident model that writes, as requests know it.
pub struct Writer {
    /// The name that requests give.
    pub name: String,
    /// Its place in the pool.
    pub index: ModelIndex,
    /// What it is.
    pub info: ModelInfo,
    /// From text to tokens and back.
    pub tokenizer: TextTokenizer,
    /// How it writes unless a request says otherwise.
    pub settings: GenerationSettings,
    /// Whether what it writes are summaries.
    pub writes_summaries: bool,
    /// Tokens of the longest answer that can be asked for: what the model can, and what one
    /// hypothesis has memory for on any device.
    pub longest_answer: usize,
}

impl Writer {
    /// A model of a pool.
    pub(crate) fn new(
        files: &Model,
        index: ModelIndex,
        info: &ModelInfo,
        pool: &Pool,
    ) -> Result<Self, RuntimeError> {
        let lanes = pool.plans().iter().filter_map(|plan| {
            let lane = plan.models.get(index.0)?.writing.as_ref()?;
            Some(lane.limits.own_cells.min(info.max_target_tokens()))
        });
        Ok(Writer {
            name: files.name().to_owned(),
            index,
            info: info.clone(),
            tokenizer: files.text_tokenizer()?.clone(),
            settings: files.settings()?.clone(),
            writes_summaries: writes_summaries(files),
            longest_answer: lanes.min().unwrap_or(0),
        })
    }

    /// Room for what a model writes by its own settings.
    pub(crate) fn plan(files: &Model, options: &mut WritingOptions) -> Result<(), RuntimeError> {
        let mut settings = files.settings()?.clone();
        if !writes_summaries(files) {
            // A translation is about as long as its source, whatever the model's files say.
            settings.max_length = DEFAULT_TOKENS;
            options.usual = Some(Usual {
                source_tokens: USUAL_TOKENS,
                written_tokens: USUAL_TOKENS,
            });
        }
        options.settings = Some(settings);
        Ok(())
    }
}

fn writes_summaries(files: &Model) -> bool {
    files.writes() == Some(Writing::Summaries)
}
