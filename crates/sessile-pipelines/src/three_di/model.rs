//! What says the states of a protein: a head that scores them all at once, or a decoder that
//! writes one after the other.

use std::path::PathBuf;
use std::sync::Arc;

use sessile_device::{GenerationSettings, ModelIndex, Output, OutputSet};
use sessile_models::Model;
use sessile_models::t5::Translation;
use sessile_models::three_di::StateSequence;
use sessile_models::tokenizer::Tokenizer;
use sessile_runtime::{
    Instances, MemoryPlan, Pool, PoolOptions, PoolRequest, Resident, RuntimeErrorKind, Usual,
    WritingOptions, plan_pool,
};

use super::{Encoded, check_residues, outputs, request};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::journal::Fingerprint;
use crate::progress::{Observer, note_devices};

/// Residues of a protein that memory is planned for, beside one of the longest; longer ones take
/// the room of several.
const USUAL_RESIDUES: usize = 510;

/// The files of a model that says states, and how it does.
pub struct StateFiles {
    /// The model.
    pub model: Model,
    /// How its decoder writes states one after the other, lengths follow from each protein; `None`:
    /// a head scores the states of all residues.
    pub writing: Option<GenerationSettings>,
}

impl StateFiles {
    /// The files that the model is read from.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.model.files()
    }

    /// Whether rows have probabilities.
    pub(super) fn has_probabilities(&self) -> bool {
        self.writing.is_none()
    }
}

/// What the answers of a model depend on.
pub(crate) struct Identity {
    /// The model as the user named it.
    pub(crate) name: String,
    /// How it finds states, in the words of genome_entropy where it has some.
    pub(crate) method: &'static str,
    weights: String,
    beside: String,
    configuration: String,
}

impl Identity {
    /// Reads all weights once.
    pub(crate) fn of(files: &StateFiles) -> Result<Self, PipelineError> {
        // What the letters become that models differ in, because that can be chosen.
        const LETTERS: &[u8] = b"MKUZOBJX*";
        let model = &files.model;
        let letters = model.tokenizer().encode(LETTERS).tokens;
        let (method, configuration) = match &files.writing {
            None => {
                let (info, _) = model.check()?;
                let method = match info.architecture {
                    "t5" => "prostt5_cnn",
                    "modern_bert" => "modernprost_aa2fold",
                    other => other,
                };
                (method, format!("{} {letters:?}", model.configuration()))
            }
            Some(settings) => ("prostt5_aa2fold", format!("{settings:?} {letters:?}")),
        };
        let configuration = blake3::hash(configuration.as_bytes()).to_hex();
        Ok(Identity {
            name: model.name().to_owned(),
            method,
            weights: model.remembered_hash()?,
            beside: model.files_hash().to_owned(),
            configuration: configuration[..16].to_owned(),
        })
    }

    /// Adds itself and what it runs on to the fingerprint of a job.
    pub(crate) fn mark(&self, fingerprint: Fingerprint, pool: &Pool) -> Fingerprint {
        fingerprint
            .with_option("--model", &self.name)
            .with_option("method", self.method)
            .with_option("tokenizer and configuration", &self.beside)
            .with_numeric("model", &self.weights)
            .with_numeric("configuration", &self.configuration)
            .with_numeric("--dtype", pool.dtypes())
            .with_numeric("kernels", pool.kernel_families().join("+"))
    }
}

/// A model that says states, on its devices.
pub(crate) struct StateModel {
    pool: Pool,
    requests: StateRequests,
}

/// How a protein is asked for.
#[derive(Clone)]
pub(crate) enum StateRequests {
    /// Of a head that scores the states of all residues.
    Scored {
        tokenizer: Tokenizer,
        outputs: OutputSet,
    },
    /// Of a decoder.
    Written(Box<Translation>),
}

impl StateRequests {
    /// The request for one protein.
    ///
    /// # Errors
    ///
    /// What is wrong with the protein.
    pub(crate) fn of(&self, residues: &[u8]) -> Result<PoolRequest, String> {
        match self {
            StateRequests::Scored { tokenizer, outputs } => {
                request(tokenizer, ModelIndex(0), *outputs, residues)
            }
            StateRequests::Written(translation) => {
                check_residues(residues)?;
                let tokens = translation.tokenizer().encode(residues).tokens;
                let settings = translation.settings(residues.len());
                let mut request = PoolRequest::new(ModelIndex(0), tokens, OutputSet::default());
                request.generation = Some(Arc::new(settings));
                Ok(request)
            }
        }
    }
}

impl StateModel {
    /// Plans and loads.
    pub(crate) fn load(
        files: StateFiles,
        options: &PoolOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self, PipelineError> {
        let model = Self::load_any(files, options, observer)?;
        note_devices(observer, &options.devices, model.pool());
        Ok(model)
    }

    fn load_any(
        files: StateFiles,
        options: &PoolOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self, PipelineError> {
        let model = &files.model;
        let Some(settings) = files.writing else {
            let (info, report) = model.check()?;
            let outputs = outputs(model.name(), &info)?;
            for assumed in &report.assumed {
                observer.note(&format!("{}: {assumed}", model.name()));
            }
            let tokenizer = model.tokenizer().clone();
            let options = PoolOptions {
                outputs,
                ..options.clone()
            };
            return Ok(StateModel {
                pool: Pool::new([Resident::Reads(model)], &options)?,
                requests: StateRequests::Scored { tokenizer, outputs },
            });
        };
        let Some(tokenizer) = model.text_tokenizer()?.as_prost_t5() else {
            return Err(PipelineError::new(
                PipelineErrorKind::Model,
                format!("{} does not write structure states", model.name()),
            )
            .with_hint("use ProstT5"));
        };
        tokenizer.check_residues(model.name().as_ref())?;
        let (before, after) = tokenizer.special_tokens();
        let translation = Translation::new(Arc::clone(tokenizer), settings);
        let special = before + after;
        let usual = Usual {
            source_tokens: USUAL_RESIDUES + special,
            written_tokens: translation.settings(USUAL_RESIDUES).max_length,
        };
        let most = model.description().max_tokens;
        let mut options = PoolOptions {
            writing: WritingOptions {
                instances: options
                    .instances
                    .map_or_else(Instances::default, Instances::Exactly),
                usual: Some(usual),
                ..WritingOptions::of(translation.settings(most - special))
            },
            ..options.clone()
        };
        let mut longest = most;
        let writes = [Resident::Writes(model)];
        let fits = |options: &PoolOptions| {
            let plans = plan_pool(writes, options)?;
            plans.iter().try_for_each(MemoryPlan::check)
        };
        while let Err(error) = fits(&options) {
            // The longest proteins there are take most of the caches: rather without them than not
            // at all.
            longest /= 2;
            let is_too_small = error.kind() == RuntimeErrorKind::DoesNotFit;
            if !is_too_small || longest < usual.source_tokens {
                return Err(error.into());
            }
            options.writing.source_tokens = Some(longest);
            options.writing.settings = Some(translation.settings(longest - special));
        }
        if longest < most {
            let residues = longest - special;
            observer.note(&format!(
                "memory is left for proteins up to {residues} residues"
            ));
        }
        Ok(StateModel {
            pool: Pool::new(writes, &options)?,
            requests: StateRequests::Written(Box::new(translation)),
        })
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// How proteins are asked for.
    pub(crate) fn requests(&self) -> StateRequests {
        self.requests.clone()
    }

    /// What an answer says of a protein of so many residues.
    pub(crate) fn encoded(&self, answer: &Output, residues: usize) -> Encoded {
        match (&self.requests, answer.generated()) {
            (StateRequests::Written(translation), Some(written)) => Encoded {
                three_di: StateSequence {
                    states: translation.states(&written.tokens, residues),
                    probabilities: Vec::new(),
                },
                twelve_state: None,
            },
            _ => Encoded::from_output(answer),
        }
    }
}
