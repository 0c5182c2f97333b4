//! The flags of `sessile summarize`.

use std::path::PathBuf;

use clap::Args;
use sessile_device::EarlyStopping;
use sessile_models::generation::SettingsOverrides;
use sessile_pipelines::summarize::LongArticle;
use sessile_runtime::{DTypeChoice, DeviceChoice, Instances};

use super::{ReportArguments, ResumeArguments, parse_bytes, parse_threads};
use crate::arguments::RowArguments;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sessile summarize --model facebook/bart-large-cnn --input articles.jsonl --output summaries.jsonl\n  \
    sessile summarize --model ./bart --input *.txt --output - --num-beams 1 --max-length 60\n\n\
    A line of input is an object with the article in `text`; its other fields stay in the row.")]
pub(crate) struct SummarizeArguments {
    /// Model: a directory, file or hub name (BART)
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: String,

    /// JSON Lines (.jsonl, .ndjson, .json), text files (an article each), or - for JSON Lines on
    /// standard input
    #[arg(short, long, required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) rows: RowArguments,

    /// Field that holds the article
    #[arg(long, default_value = "text", value_name = "NAME")]
    pub(crate) text_field: String,

    /// Write the token ids too
    #[arg(long)]
    pub(crate) with_ids: bool,

    /// Articles longer than the model reads: fail, truncate (its beginning is read) or map-reduce
    /// (parts are summarised, then their summaries)
    #[arg(long, default_value = "fail", value_name = "CHOICE")]
    pub(crate) long: LongArticle,

    #[command(flatten)]
    pub(crate) generation: GenerationArguments,

    #[command(flatten)]
    pub(crate) resume: ResumeArguments,

    #[command(flatten)]
    pub(crate) report: ReportArguments,

    #[command(flatten)]
    pub(crate) pool: GeneratorArguments,
}

/// How text is written. Without a flag the model's generation_config.json holds.
#[derive(Clone, Debug, Args)]
#[command(
    next_help_heading = "Writing (without a flag: as the model's generation_config.json says)"
)]
pub(crate) struct GenerationArguments {
    /// Hypotheses that are followed at once; 1 is greedy search
    #[arg(long, value_name = "N")]
    pub(crate) num_beams: Option<usize>,

    /// More than 0 favours long texts, less than 0 short ones
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) length_penalty: Option<f32>,

    /// Fewest tokens
    #[arg(long, value_name = "TOKENS")]
    pub(crate) min_length: Option<usize>,

    /// Most tokens
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_length: Option<usize>,

    /// Fewest tokens after the start token, instead of --min-length
    #[arg(long, value_name = "TOKENS", conflicts_with = "min_length")]
    pub(crate) min_new_tokens: Option<usize>,

    /// Most tokens after the start token, instead of --max-length
    #[arg(long, value_name = "TOKENS", conflicts_with = "max_length")]
    pub(crate) max_new_tokens: Option<usize>,

    /// Never repeat an n-gram of this size; 0 turns it off
    #[arg(long, value_name = "N")]
    pub(crate) no_repeat_ngram_size: Option<usize>,

    /// Never repeat an n-gram of the article of this size; 0 turns it off
    #[arg(long, value_name = "N")]
    pub(crate) encoder_no_repeat_ngram_size: Option<usize>,

    /// When beam search stops: true, false or never
    #[arg(long, value_name = "CHOICE", value_parser = parse_early_stopping)]
    pub(crate) early_stopping: Option<EarlyStopping>,

    /// More than 1 makes tokens that were there less likely
    #[arg(long, value_name = "X")]
    pub(crate) repetition_penalty: Option<f32>,

    /// More than 1 makes the tokens of the article likelier
    #[arg(long, value_name = "X")]
    pub(crate) encoder_repetition_penalty: Option<f32>,

    #[command(flatten)]
    pub(crate) chance: ChanceArguments,
}

/// Drawing by chance.
#[derive(Clone, Debug, Args)]
pub(crate) struct ChanceArguments {
    /// Draw the next token by chance
    #[arg(long)]
    pub(crate) do_sample: bool,

    /// Less than 1 makes chance bolder for the likely tokens, more than 1 evens it out
    #[arg(long, value_name = "X")]
    pub(crate) temperature: Option<f32>,

    /// Draw among so many of the best tokens; 0: among all
    #[arg(long, value_name = "N")]
    pub(crate) top_k: Option<usize>,

    /// Draw among the best tokens that together have this probability
    #[arg(long, value_name = "X")]
    pub(crate) top_p: Option<f32>,

    /// Draw among the tokens with at least this share of the best one's probability
    #[arg(long, value_name = "X")]
    pub(crate) min_p: Option<f32>,

    /// What is drawn follows from this number
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

impl ChanceArguments {
    pub(crate) fn overrides(&self) -> SettingsOverrides {
        SettingsOverrides {
            // Beams that the model's file asks for do not go with sampling.
            num_beams: self.do_sample.then_some(1),
            do_sample: self.do_sample.then_some(true),
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            seed: self.seed,
            ..SettingsOverrides::default()
        }
    }
}

impl GenerationArguments {
    pub(crate) fn overrides(&self) -> SettingsOverrides {
        let chance = self.chance.overrides();
        SettingsOverrides {
            num_beams: self.num_beams.or(chance.num_beams),
            length_penalty: self.length_penalty,
            min_length: self.min_length,
            max_length: self.max_length,
            min_new_tokens: self.min_new_tokens,
            max_new_tokens: self.max_new_tokens,
            no_repeat_ngram_size: self.no_repeat_ngram_size,
            encoder_no_repeat_ngram_size: self.encoder_no_repeat_ngram_size,
            early_stopping: self.early_stopping,
            repetition_penalty: self.repetition_penalty,
            encoder_repetition_penalty: self.encoder_repetition_penalty,
            ..chance
        }
    }
}

/// Devices and memory of a model that writes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Devices and memory")]
pub(crate) struct GeneratorArguments {
    /// Devices: auto or cpu
    #[arg(long, default_value = "auto", value_name = "LIST")]
    pub(crate) devices: DeviceChoice,

    /// Articles that are written at the same time: so many, or it is refused
    #[arg(long, value_name = "N")]
    pub(crate) instances: Option<usize>,

    #[command(flatten)]
    pub(crate) limits: InstanceArguments,

    /// Most articles that enter at once [default: as many as there are instances]
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<usize>,

    /// Milliseconds to wait for more articles before idle instances begin
    #[arg(long, default_value_t = 50, value_name = "MS")]
    pub(crate) max_delay_ms: u64,

    /// Articles that may wait for an instance [default: a few for each]
    #[arg(long, value_name = "N")]
    pub(crate) queue_size: Option<usize>,

    /// Whether the model answers something small before the first article
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub(crate) warmup: bool,

    /// CPU threads in total [default: one per core]
    #[arg(long, value_name = "N", value_parser = parse_threads::<usize>)]
    pub(crate) threads: Option<usize>,

    /// Number format: auto, f32 or bf16
    #[arg(long, default_value = "auto", value_name = "FORMAT")]
    pub(crate) dtype: DTypeChoice,

    /// Memory to leave alone, such as 2GiB
    #[arg(long, default_value = "0", value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) memory_reserve: u64,

    /// Show where the time goes, by operation
    #[arg(long)]
    pub(crate) per_op: bool,
}

/// How many instances there may be.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct InstanceArguments {
    /// As many instances as fit on a device, up to this; null: up to 32 on the CPU, 64 on a GPU
    /// [default: null]
    #[arg(long, value_name = "N", value_parser = parse_limit)]
    pub(crate) max_instances: Option<Limit>,

    /// false: a single instance, one article after the other
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub(crate) multiple_instances: bool,
}

/// A limit, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<usize>);

fn parse_limit(text: &str) -> Result<Limit, String> {
    if text == "null" {
        return Ok(Limit(None));
    }
    let limit = text.parse();
    limit
        .map(|limit| Limit(Some(limit)))
        .map_err(|_| format!("`{text}` is neither a number nor null"))
}

impl InstanceArguments {
    /// What these mean together; `exactly` is the number that was asked for, if one was.
    pub(crate) fn instances(self, exactly: Option<usize>) -> Instances {
        match (exactly, self.multiple_instances, self.max_instances) {
            (Some(number), _, _) => Instances::Exactly(number),
            (None, false, _) => Instances::Exactly(1),
            (None, true, Some(Limit(Some(most)))) => Instances::UpTo(most),
            (None, true, _) => Instances::default(),
        }
    }
}

fn parse_early_stopping(text: &str) -> Result<EarlyStopping, String> {
    match text {
        "true" => Ok(EarlyStopping::True),
        "false" => Ok(EarlyStopping::False),
        "never" => Ok(EarlyStopping::Never),
        other => Err(format!("`{other}` is neither true, false nor never")),
    }
}
