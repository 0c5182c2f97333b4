//! BART among the families.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use sessile_device::{DType, Device};

use super::{Bart, BartConfig, tensor_shapes};
use crate::error::{ModelError, ModelErrorKind};
use crate::family::{
    Description, Family, LoadedEncoder, LoadedWriter, Parts, Published, Writing, model_type,
};
use crate::synthesize::{Synthetic, bytes};
use crate::tokenizer::{ByteLevelTokenizer, Preprocessing, Tokenizer};
use crate::weights::WeightSource;

impl Family for BartConfig {
    const ABOUT: &'static str = "bart (bart-large-cnn, bart-large-xsum, distilbart)";
    const SIZES: &'static [&'static str] = &["bart_large_cnn"];
    const PUBLISHED: &'static [Published] = &[
        summaries("facebook/bart-large-cnn"),
        summaries("facebook/bart-large-xsum"),
        summaries("sshleifer/distilbart-cnn-12-6"),
    ];

    fn recognises(config: &Value) -> bool {
        model_type(config) == Some("bart")
    }

    fn from_json(config: &Value) -> Result<Self, ModelError> {
        BartConfig::from_json(config)
    }

    fn description(&self) -> Description {
        Description {
            architecture: "bart",
            encodes: false,
            layers: self.encoder_layers,
            hidden: self.hidden,
            heads: self.encoder_attention_heads,
            vocabulary: self.vocabulary,
            max_tokens: self.positions,
            max_target_tokens: Some(self.positions),
        }
    }

    fn tokenizer(&self, directory: &Path, _: Preprocessing) -> Result<Tokenizer, ModelError> {
        let tokenizer = ByteLevelTokenizer::from_directory(directory)?;
        Ok(Tokenizer::ByteLevel(Arc::new(tokenizer)))
    }

    fn writes(&self, _: &dyn WeightSource) -> Option<Writing> {
        Some(Writing::Summaries)
    }

    fn load_encoder<D: Device>(
        &self,
        _: &D,
        _: &Parts<'_>,
        _: DType,
        _: usize,
    ) -> Result<LoadedEncoder<D>, ModelError> {
        Err(ModelError::new(
            ModelErrorKind::UnknownArchitecture,
            "config.json: BART writes text and is no encoder",
        )
        .with_hint(
            "`sessile summarize` and `sessile serve` use it, `sessile bench --generate` measures it",
        ))
    }

    fn load_writer<D: Device>(
        &self,
        device: &D,
        parts: &Parts<'_>,
        dtype: DType,
    ) -> Result<LoadedWriter<D>, ModelError> {
        let (model, report) = Bart::load(device, parts.source, self.clone(), dtype)?;
        Ok((Arc::new(model), report))
    }

    fn synthesize(_: &str, _: u64) -> Option<Synthetic> {
        let config = BartConfig::large();
        let settings = json!({
            "decoder_start_token_id": 2,
            "eos_token_id": 2,
            "forced_bos_token_id": 0,
            "forced_eos_token_id": 2,
            "num_beams": 4,
            "length_penalty": 2.0,
            "min_length": 56,
            "max_length": 142,
            "no_repeat_ngram_size": 3,
            "early_stopping": true,
        });
        Some(Synthetic {
            tensors: tensor_shapes(&config),
            beside: vec![
                ("tokenizer.json", bytes().to_string().into_bytes()),
                (
                    "generation_config.json",
                    format!("{settings:#}\n").into_bytes(),
                ),
            ],
            ..Synthetic::of(config.to_json())
        })
    }
}

const fn summaries(name: &'static str) -> Published {
    Published {
        name,
        short: None,
        about: "summaries of articles",
    }
}
