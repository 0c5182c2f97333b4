//! Sessile as a library: load a model once, ask it as often as you like.
//!
//! ```
//! use sessile::{Model, ModelIndex, OutputKind, OutputSet, Pool, PoolOptions, PoolRequest};
//!
//! // A small untrained model that is built in. `Model::open` reads a checkpoint.
//! let model = Model::demo();
//! let wanted = OutputSet::default().with(OutputKind::Mean);
//! let tokens = model.tokenizer().encode(b"MKTAYIAKQR").tokens;
//! let pool = Pool::new(&[model], &PoolOptions { outputs: wanted, ..PoolOptions::default() })?;
//! let answer = pool.submit(PoolRequest::new(ModelIndex(0), tokens, wanted))?.wait()?;
//! let vector = answer.get(OutputKind::Mean).expect("what was asked for");
//! assert_eq!(vector.shape, [128]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Models that write take texts:
//!
//! ```
//! use sessile::{Model, GeneratorOptions, GeneratorPool, SettingsOverrides};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/bart/tiny");
//! let files = Model::open(path.as_ref())?;
//! let greedy = SettingsOverrides { num_beams: Some(1), ..SettingsOverrides::default() };
//! let settings = greedy.over(files.settings()?)?;
//! // The weights are loaded once; as many articles as fit are written at the same time.
//! let writer = GeneratorPool::new(&files, &GeneratorOptions::new(settings.clone()))?;
//! let articles = [(1, "The committee met in spring."), (2, "The theatre was crowded.")];
//! for (id, summary) in writer.infer_many(articles, settings) {
//!     println!("{id}: {}", summary?.text);
//! }
//! assert_eq!(writer.report().inferences, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Inside an asynchronous program the answer is a future: `pool.submit(request)?.await`. For many
//! sequences at once there is [`Pool::infer_many`], and for whole files [`pipelines`].

pub use sessile_device::{
    DType, DeviceId, EarlyStopping, GenerationSettings, HostTensor, ModelIndex, Output, OutputKind,
    OutputSet, RequestError, RequestErrorKind,
};
pub use sessile_models::generation::SettingsOverrides;
pub use sessile_models::{GeneratorInfo, Model, ModelError, ModelErrorKind, ModelInfo};
pub use sessile_pipelines as pipelines;
pub use sessile_runtime::{
    DTypeChoice, DeviceChoice, GeneratorOptions, GeneratorPlan, GeneratorPool, GeneratorReport,
    Instances, MemoryPlan, Pending, Pool, PoolOptions, PoolRequest, RuntimeError, RuntimeErrorKind,
    WrittenText,
};
