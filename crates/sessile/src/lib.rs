//! Sessile as a library: load a model once, ask it as often as you like.
//!
//! ```
//! use sessile::{ModelFiles, ModelIndex, OutputKind, OutputSet, Pool, PoolOptions, PoolRequest};
//!
//! // A small untrained model that is built in. `ModelFiles::open` reads a checkpoint.
//! let model = ModelFiles::demo();
//! let wanted = OutputSet::default().with(OutputKind::Mean);
//! let tokens = model.tokenizer().encode(b"MKTAYIAKQR").tokens;
//! let pool = Pool::new(&[model], &PoolOptions { outputs: wanted, ..PoolOptions::default() })?;
//! let answer = pool.submit(PoolRequest::new(ModelIndex(0), tokens, wanted))?.wait()?;
//! let vector = answer.get(OutputKind::Mean).expect("what was asked for");
//! assert_eq!(vector.shape, [128]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Inside an asynchronous program the answer is a future: `pool.submit(request)?.await`. For many
//! sequences at once there is [`Pool::infer_many`], and for whole files [`pipelines`].

pub use sessile_device::{
    DType, DeviceId, HostTensor, ModelIndex, Output, OutputKind, OutputSet, RequestError,
    RequestErrorKind,
};
pub use sessile_models::{ModelError, ModelErrorKind, ModelFiles, ModelInfo};
pub use sessile_pipelines as pipelines;
pub use sessile_runtime::{
    DTypeChoice, DeviceChoice, MemoryPlan, Pending, Pool, PoolOptions, PoolRequest, RuntimeError,
    RuntimeErrorKind,
};
