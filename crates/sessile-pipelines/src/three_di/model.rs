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
    GeneratorOptions, GeneratorPool, Instances, Pool, PoolOptions, PoolRequest, RuntimeErrorKind,
    Usual, plan_generator,
};

use super::{Encoded, check_residues, outputs, request};
use crate::error::{PipelineError, PipelineErrorKind};
use crate::journal::Fingerprint;
use crate::progress::{Observer, note_devices};

/// Residues of a protein that memory is planned for, beside one of the longest; longer ones take
/// the room of several.
const USUAL_RESIDUES: usize = 510;

/// The files of a model that says states.
pub enum StateFiles {
    /// An encoder with a head that scores the states of all residues.
    Scored(Model),
    /// ProstT5 with its decoder, which writes states one after the other.
    Written {
        /// The model.
        files: Box<Model>,
        /// How to write; lengths follow from each protein.
        settings: GenerationSettings,
    },
}

impl StateFiles {
    /// The files that the model is read from.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        match self {
            StateFiles::Scored(files) => files.files(),
            StateFiles::Written { files, .. } => files.files(),
        }
    }

    /// Whether rows have probabilities.
    pub(super) fn has_probabilities(&self) -> bool {
        matches!(self, StateFiles::Scored(_))
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
        let beside;
        let (name, weights, method, configuration) = match files {
            StateFiles::Scored(files) => {
                let (info, _) = files.check()?;
                let method = match info.architecture {
                    "t5" => "prostt5_cnn",
                    "modern_bert" => "modernprost_aa2fold",
                    other => other,
                };
                let letters = files.tokenizer().encode(LETTERS).tokens;
                let configuration = format!("{} {letters:?}", files.configuration());
                beside = files.files_hash();
                (
                    files.name(),
                    files.remembered_hash()?,
                    method,
                    configuration,
                )
            }
            StateFiles::Written { files, settings } => {
                let tokenizer = files.text_tokenizer()?.as_prost_t5();
                let letters = tokenizer.map(|tokenizer| tokenizer.encode(LETTERS).tokens);
                let configuration = format!("{settings:?} {letters:?}");
                beside = files.files_hash();
                let weights = files.remembered_hash()?;
                (files.name(), weights, "prostt5_aa2fold", configuration)
            }
        };
        let configuration = blake3::hash(configuration.as_bytes()).to_hex();
        Ok(Identity {
            name: name.to_owned(),
            method,
            weights,
            beside: beside.to_owned(),
            configuration: configuration[..16].to_owned(),
        })
    }

    /// Adds itself and what it runs on to the fingerprint of a job.
    pub(crate) fn mark(&self, fingerprint: Fingerprint, pool: &Pool) -> Fingerprint {
        let dtypes: Vec<String> = (pool.plans().iter())
            .map(|plan| plan.dtype.to_string())
            .collect();
        fingerprint
            .with_option("--model", &self.name)
            .with_option("method", self.method)
            .with_option("tokenizer and configuration", &self.beside)
            .with_numeric("model", &self.weights)
            .with_numeric("configuration", &self.configuration)
            .with_numeric("--dtype", dtypes.join("+"))
            .with_numeric("kernels", pool.kernel_families().join("+"))
    }
}

/// A model that says states, on its devices.
pub(crate) struct StateModel {
    resident: Resident,
    requests: StateRequests,
}

enum Resident {
    Scored(Box<Pool>),
    Written(Box<GeneratorPool>),
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
        match files {
            StateFiles::Scored(files) => {
                let (info, report) = files.check()?;
                let outputs = outputs(files.name(), &info)?;
                for assumed in &report.assumed {
                    observer.note(&format!("{}: {assumed}", files.name()));
                }
                let tokenizer = files.tokenizer().clone();
                let options = PoolOptions {
                    outputs,
                    ..options.clone()
                };
                Ok(StateModel {
                    resident: Resident::Scored(Box::new(Pool::new(&[files], &options)?)),
                    requests: StateRequests::Scored { tokenizer, outputs },
                })
            }
            StateFiles::Written { files, settings } => {
                let Some(tokenizer) = files.text_tokenizer()?.as_prost_t5() else {
                    return Err(PipelineError::new(
                        PipelineErrorKind::Model,
                        format!("{} does not write structure states", files.name()),
                    )
                    .with_hint("use ProstT5"));
                };
                tokenizer.check_residues(files.name().as_ref())?;
                let (before, after) = tokenizer.special_tokens();
                let translation = Translation::new(Arc::clone(tokenizer), settings);
                let special = before + after;
                let usual = Usual {
                    source_tokens: USUAL_RESIDUES + special,
                    written_tokens: translation.settings(USUAL_RESIDUES).max_length,
                };
                let most = files.description().max_tokens;
                let mut pool = GeneratorOptions {
                    devices: options.devices.clone(),
                    threads: options.threads,
                    dtype: options.dtype,
                    instances: options
                        .instances
                        .map_or_else(Instances::default, Instances::Exactly),
                    usual: Some(usual),
                    memory_reserve: options.memory_reserve,
                    timed: options.timed,
                    ..GeneratorOptions::new(translation.settings(most - special))
                };
                let mut longest = most;
                while let Err(error) = plan_generator(&files, &pool) {
                    // The longest proteins there are take most of the caches: rather without them
                    // than not at all.
                    longest /= 2;
                    let is_too_small = error.kind() == RuntimeErrorKind::DoesNotFit;
                    if !is_too_small || longest < usual.source_tokens {
                        return Err(error.into());
                    }
                    pool.source_tokens = Some(longest);
                    pool.settings = translation.settings(longest - special);
                }
                if longest < most {
                    let residues = longest - special;
                    observer.note(&format!(
                        "memory is left for proteins up to {residues} residues"
                    ));
                }
                let generator = Box::new(GeneratorPool::new(&files, &pool)?);
                Ok(StateModel {
                    resident: Resident::Written(generator),
                    requests: StateRequests::Written(Box::new(translation)),
                })
            }
        }
    }

    pub(crate) fn pool(&self) -> &Pool {
        match &self.resident {
            Resident::Scored(pool) => pool,
            Resident::Written(generator) => &generator.pool,
        }
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
