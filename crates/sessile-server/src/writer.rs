//! The model that writes, beside those that read sequences: at most one, with a pool of its own.

use sessile_device::GenerationSettings;
use sessile_models::t5::DEFAULT_TOKENS;
use sessile_models::{Model, Writing};
use sessile_runtime::{GeneratorOptions, GeneratorPool, RuntimeError, Usual};

/// Tokens of a protein that memory is planned for, beside one of the longest.
const USUAL_TOKENS: usize = 512;

/// A model that writes, as requests know it.
pub struct Writer {
    /// The name that requests give.
    pub name: String,
    /// The model on its devices.
    pub generator: GeneratorPool,
    /// How it writes unless a request says otherwise.
    pub settings: GenerationSettings,
    /// Whether what it writes are summaries.
    pub writes_summaries: bool,
}

impl Writer {
    /// Loads a model and warms it up. `options` are for settings of the model's own.
    ///
    /// # Errors
    ///
    /// Whatever keeps the model from being planned or loaded.
    pub fn load(files: &Model, options: &GeneratorOptions) -> Result<Self, RuntimeError> {
        let writes_summaries = files.writes() == Some(Writing::Summaries);
        let mut options = options.clone();
        options.settings = files.settings()?.clone();
        if !writes_summaries {
            // A translation is about as long as its source, whatever the model's files say.
            options.settings.max_length = DEFAULT_TOKENS;
            options.usual = Some(Usual {
                source_tokens: USUAL_TOKENS,
                written_tokens: USUAL_TOKENS,
            });
        }
        Ok(Writer {
            name: files.name().to_owned(),
            generator: GeneratorPool::new(files, &options)?,
            settings: files.settings()?.clone(),
            writes_summaries,
        })
    }

    /// Tokens of the longest answer that can be asked for: what the model can, and what one
    /// hypothesis has memory for.
    pub(crate) fn longest_answer(&self) -> usize {
        let plan = &self.generator.plan;
        plan.info.max_target_tokens.min(plan.limits.own_cells)
    }
}
