//! Sessile as a library: load a model once, ask it as often as you like.
//!
//! ```
//! use sessile::Sessile;
//!
//! // `demo` is small, untrained and built in. A folder, a file or a name on the hub, such as
//! // `facebook/esm2_t6_8M_UR50D`, is a real model.
//! let model = Sessile::open("demo")?;
//! let vectors = model.embed(&["MKTAYIAKQR", "GASP"])?;
//! assert_eq!((vectors.len(), vectors.dimension()), (2, 128));
//! assert_eq!(vectors.vector(1).len(), 128);
//! # Ok::<(), sessile::Error>(())
//! ```
//!
//! A [`Sessile`] is a resident model: its weights are loaded once for each device, and calls from
//! any number of threads share its lanes. What a model can do depends on what it is:
//!
//! | model | calls |
//! |---|---|
//! | ESM-2 | [`embed`](Sessile::embed), [`logits`](Sessile::logits), [`contacts`](Sessile::contacts), [`score`](Sessile::score), [`mutational_scan`](Sessile::mutational_scan) |
//! | DNABERT-S, DNABERT-2 | [`embed`](Sessile::embed) |
//! | ProstT5, ModernProst | [`embed`](Sessile::embed), [`states`](Sessile::states) |
//! | BART | [`summarize`](Sessile::summarize) |
//! | DNABERT-S with ESM-2 and a classifier | [`viral`](Sessile::viral) |
//!
//! [`Sessile::builder`] chooses devices, number format and memory. Each call has a form that ends
//! in `_with`, with its settings and a [`Watch`]: another thread stops the call or sees how far it
//! is. Whole files, with journals that resume, are the matter of [`pipelines`]; reading frames and
//! entropy need no model and are in [`seq`].
//!
//! Below this are the [`Pool`] and its requests, for programs that bring their own tokens:
//!
//! ```
//! use sessile::{Model, ModelIndex, OutputKind, OutputSet, Pool, PoolOptions, PoolRequest};
//!
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
//! Inside an asynchronous program the answer is a future: `pool.submit(request)?.await`. For many
//! sequences at once there is [`Pool::infer_many`].

mod embed;
mod error;
mod open;
mod score;
mod states;
mod summarize;
mod viral;
mod watch;

pub use embed::{Embed, Embeddings, Failure, Pooling};
pub use error::{Error, ErrorKind};
pub use open::{Builder, Sessile};
pub use score::{Method, Score};
pub use viral::{Viral, ViralBuilder};
pub use watch::Watch;

pub use sessile_device::{
    DType, DeviceId, EarlyStopping, GenerationSettings, HostTensor, ModelIndex, Output, OutputKind,
    OutputSet, RequestError, RequestErrorKind,
};
pub use sessile_models::generation::SettingsOverrides;
pub use sessile_models::hub::Progress as Download;
pub use sessile_models::marginals::RESIDUES;
pub use sessile_models::{Model, ModelError, ModelErrorKind, ModelInfo};
pub use sessile_pipelines as pipelines;
pub use sessile_pipelines::embed::Long;
pub use sessile_pipelines::three_di::Encoded as States;
pub use sessile_pipelines::viral::predict::Predicted;
pub use sessile_runtime::{
    DTypeChoice, DeviceChoice, Instances, MemoryPlan, Pending, Pool, PoolOptions, PoolRequest,
    Resident, RuntimeError, RuntimeErrorKind, Texts, WritingOptions, WritingReport, WrittenText,
};
pub use sessile_seq as seq;
