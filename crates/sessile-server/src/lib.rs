//! The service: the resident pool behind HTTP.
//!
//! A request goes one way, whatever path it came to: it is *admitted* (a key, room, a service that
//! is not stopping), *read* within bounds of size and time, *run* (its sequences go into the one
//! queue that all connections share, and lanes fill batches from it by tokens) and *written* where
//! that holds nobody up. That way is the module `exchange`; what a path has of its own, its fields
//! and its answer, is in `predict` (the calls of ESM2_MultiGPU_Inference) and in `v1` (calls in the
//! manner of OpenAI's).
//!
//! What the service says of its health follows from forward passes that its lanes really made: a
//! monitor asks idle lanes for one now and then. A lane that fails is taken out and the rest go on.
//!
//! A [`Server`] listens before its models are loaded and runs until it is told to stop:
//!
//! ```
//! use sessile_models::Model;
//! use sessile_runtime::PoolOptions;
//! use sessile_server::{Ended, Engine, Server, ServiceOptions};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let options = ServiceOptions {
//!     address: "127.0.0.1:0".parse()?,
//!     ..ServiceOptions::default()
//! };
//! let server = Server::bind("demo".to_owned(), options).await?;
//! println!("listening on {}", server.address());
//! let load = || Engine::load(vec![Model::demo()], &PoolOptions::default());
//! let stop = tokio::time::sleep(std::time::Duration::from_millis(300));
//! assert!(matches!(server.run(load, stop).await?, Ended::Drained));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;
mod budget;
pub mod clients;
mod content_coding;
pub mod environment;
mod exchange;
mod failure;
mod grpc;
mod health;
mod http;
mod json;
pub mod keys;
pub mod load;
pub mod logging;
mod monitor;
mod openapi;
pub mod options;
mod otlp;
mod predict;
mod raw;
mod root;
mod serve;
mod service;
pub mod spelling;
mod telemetry;
pub mod tls;
mod v1;
mod work;
mod writer;

pub use logging::LogLevel;
pub use options::ServiceOptions;
pub use otlp::Collector;
pub use serve::{Ended, ServeError, Server};
pub use service::{Engine, OUTPUTS, ServedModel};
pub use tls::{Tls, TlsFiles};
pub use writer::Writer;
