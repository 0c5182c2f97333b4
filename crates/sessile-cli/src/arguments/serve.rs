//! The flags of `sessile serve` and `sessile bench-service`.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use sessile_server::load::Target;
use sessile_server::{Collector, LogLevel};

use super::summarize::InstanceArguments;
use super::{PoolArguments, parse_bytes};

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile serve --model esm2_t33_650M Rostlab/ProstT5 --port 8000\n  \
    MODEL_NAME=facebook/esm2_t6_8M_UR50D PORT=8080 sessile serve\n  \
    curl localhost:8000/predict -H 'content-type: application/json' -d '{\"sequence\": \"MKTV\"}'\n\n\
    The names that ESM2_MultiGPU_Inference is configured by (MODEL_NAME, MAX_BATCH_SIZE, …) hold too,\n\
    from the environment or a .env file, below SESSILE_* and above the settings file.\n\
    The page at /docs shows all calls. SIGTERM answers what was accepted and ends; SIGHUP does too,\n\
    or reads --api-keys-file, --clients-file and --tls-cert again where there are any.")]
pub(crate) struct ServeArguments {
    /// Models: directories, files, hub names or `demo`; the first is the default. One of them may
    /// be a model that writes (BART)
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',', value_name = "MODEL")]
    pub(crate) model: Vec<String>,

    /// Names that requests give the models by, one for each [default: a hub name as it is, of a path
    /// the last part]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "NAME")]
    pub(crate) served_name: Vec<String>,

    /// Address or name to listen on [default: 127.0.0.1, or 0.0.0.0 where a key is asked for]
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,

    /// Port to listen on
    #[arg(long, default_value_t = 8000, value_name = "PORT")]
    pub(crate) port: u16,

    #[command(flatten)]
    pub(crate) limits: InstanceArguments,

    /// Most sequences of a request to /predict/batch
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) max_batch_size: usize,

    /// Most residues of a sequence
    #[arg(long, default_value_t = 1024, value_name = "N")]
    pub(crate) max_sequence_length: usize,

    /// Most items of a request to the /v1 paths
    #[arg(long, default_value_t = 8192, value_name = "N")]
    pub(crate) max_items: usize,

    /// Most bytes of a body, such as 8MiB
    #[arg(long, default_value = "8MiB", value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) max_body_size: u64,

    /// Most memory that bodies and answers hold until they are sent, all requests together; an
    /// eighth on top is kept for small requests
    #[arg(long, default_value = "512MiB", value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) max_held_memory: u64,

    /// Most connections; for more, those that wait longest for their clients are closed, and while
    /// all are at work only probes are answered
    #[arg(long, default_value_t = 1024, value_name = "N")]
    pub(crate) max_connections: usize,

    /// Longest time for the head of a request to arrive, and for a connection to be idle, in seconds
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    pub(crate) header_timeout: f64,

    /// Longest time for a body to arrive, in seconds
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    pub(crate) body_timeout: f64,

    /// Longest time in which a client may take nothing of its answer, in seconds
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    pub(crate) send_timeout: f64,

    /// Fewest bytes per second, over the send timeout, that a client must take of its answer
    #[arg(long, default_value = "128KiB", value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) min_send_rate: u64,

    /// Origins of pages that may call, a JSON list or separated by commas; * for all, without
    /// credentials [default: none]
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "LIST"
    )]
    pub(crate) cors_origins: String,

    /// Keys of which a caller needs one, separated by commas [default: everybody may call]
    #[arg(long, value_name = "KEYS", hide_env_values = true)]
    pub(crate) api_keys: Vec<String>,

    /// A key that a caller may have, beside those of --api-keys
    #[arg(long, value_name = "KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,

    /// File with such keys, one a line; SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    pub(crate) api_keys_file: Option<PathBuf>,

    /// File of clients (TOML), each with a key and limits of its own; SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    pub(crate) clients_file: Option<PathBuf>,

    /// Certificate to show, with those between it and a root (PEM): the service speaks TLS then. It is
    /// read again when it changes, and on SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Roots (PEM) of certificates of which a client must show one [default: clients show none]
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_client_ca: Option<PathBuf>,

    /// Collector of OpenTelemetry to send traces to, such as http://127.0.0.1:4318 (OTLP over HTTP)
    /// [default: none]
    #[arg(long, value_name = "URL")]
    pub(crate) otlp_endpoint: Option<Collector>,

    /// Compute requests of several clients together
    #[arg(long, default_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub(crate) batch_queue_enabled: bool,

    /// Longest time a lane waits for a batch to fill, in milliseconds
    #[arg(long, default_value_t = 50, value_name = "MS")]
    pub(crate) batch_queue_max_wait_ms: u64,

    /// Most requests of a batch
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) batch_queue_max_size: usize,

    /// GPUs to use, by number; empty or -1: none [default: as --devices says]
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub(crate) cuda_visible_devices: Option<String>,

    /// Longest time for an answer, in seconds
    #[arg(long, default_value_t = 300.0, value_name = "SECONDS")]
    pub(crate) request_timeout: f64,

    /// Longest time to finish accepted work after SIGTERM, in seconds
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    pub(crate) grace: f64,

    /// Longest time from the start until the service is ready, in seconds; then it ends with exit code 5
    /// [default: any]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) startup_timeout: Option<f64>,

    /// Processes, as ESM2_MultiGPU_Inference counts them: there is one, whatever the devices
    #[arg(long, hide = true, value_name = "N")]
    pub(crate) workers: Option<u32>,

    /// How much is logged: debug, info, warning or error
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    pub(crate) log_level: LogLevel,

    #[command(flatten)]
    pub(crate) pool: PoolArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    sessile bench-service --url http://127.0.0.1:8000 --batch-sizes 1 8 --concurrency 1 64 \
    --duration 20 --output report.json --chart report.svg")]
pub(crate) struct BenchServiceArguments {
    /// The service, on this machine
    #[arg(long, default_value = "http://127.0.0.1:8000", value_name = "URL", value_parser = Target::parse)]
    pub(crate) url: Target,

    /// Sequences of a request
    #[arg(long, num_args = 1.., value_delimiter = ',', default_values_t = [1, 8, 32, 64], value_name = "N")]
    pub(crate) batch_sizes: Vec<usize>,

    /// Connections
    #[arg(long, num_args = 1.., value_delimiter = ',', default_values_t = [1, 8, 64], value_name = "N")]
    pub(crate) concurrency: Vec<usize>,

    /// Requests per second, answered or not [default: each connection asks again when answered]
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<f64>,

    /// Seconds of each measurement
    #[arg(long, default_value_t = 20.0, value_name = "SECONDS")]
    pub(crate) duration: f64,

    /// FASTA file of sequences to send [default: made-up short open reading frames]
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// Key to send
    #[arg(long, value_name = "KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,

    /// JSON report to write, or - for standard output
    #[arg(short, long, default_value = "-", value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Report of an earlier run to compare with
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,

    /// Least throughput, as a share of that of the earlier run; with less the exit code is 3
    #[arg(long, value_name = "SHARE", requires = "baseline")]
    pub(crate) min_throughput: Option<f64>,

    /// Chart to write (.svg or .png)
    #[arg(long, value_name = "FILE")]
    pub(crate) chart: Option<PathBuf>,
}
