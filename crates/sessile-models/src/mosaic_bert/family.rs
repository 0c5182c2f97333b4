//! MosaicBERT among the families.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use sessile_device::{DType, Device};

use super::config::DEFAULT_TOKENS;
use super::{MosaicBert, MosaicBertConfig, tensor_shapes};
use crate::error::ModelError;
use crate::family::{Description, Family, LoadedEncoder, Parts, Published, model_type};
use crate::synthesize::{Synthetic, merges};
use crate::tokenizer::{BpeTokenizer, Preprocessing, Tokenizer};

impl Family for MosaicBertConfig {
    const ABOUT: &'static str = "bert with ALiBi (DNABERT-2, DNABERT-S)";
    const SIZES: &'static [&'static str] = &["dnabert_s"];
    const PUBLISHED: &'static [Published] = &[
        Published {
            name: "zhihan1996/DNABERT-S",
            short: None,
            about: "DNABERT-S, vectors that tell species apart",
        },
        Published {
            name: "zhihan1996/DNABERT-2-117M",
            short: None,
            about: "DNABERT-2",
        },
    ];

    fn recognises(config: &Value) -> bool {
        model_type(config) == Some("bert") && MosaicBertConfig::has_alibi(config)
    }

    fn from_json(config: &Value) -> Result<Self, ModelError> {
        MosaicBertConfig::from_json(config)
    }

    fn description(&self) -> Description {
        Description {
            architecture: "mosaic_bert",
            encodes: true,
            layers: self.layers,
            hidden: self.hidden,
            heads: self.heads,
            vocabulary: self.vocabulary,
            max_tokens: DEFAULT_TOKENS,
            max_target_tokens: None,
        }
    }

    fn tokenizer(&self, directory: &Path, _: Preprocessing) -> Result<Tokenizer, ModelError> {
        let tokenizer = BpeTokenizer::from_file(&directory.join("tokenizer.json"))?;
        Ok(Tokenizer::Bpe(Arc::new(tokenizer)))
    }

    fn load_encoder<D: Device>(
        &self,
        device: &D,
        parts: &Parts<'_>,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<LoadedEncoder<D>, ModelError> {
        let (model, report) = MosaicBert::load(
            device,
            parts.source,
            self.clone(),
            parts.tokenizer.special_tokens(),
            parts.tokenizer.mask(),
            dtype,
            max_tokens,
        )?;
        Ok((model.into_encoder(), report))
    }

    fn synthesize(_: &str, seed: u64) -> Option<Synthetic> {
        let config = MosaicBertConfig::published();
        let tokenizer = merges::tokenizer(config.vocabulary, seed);
        // The published model has no head for masked tokens.
        let tensors = tensor_shapes(&config)
            .into_iter()
            .filter(|(name, _)| !name.starts_with("cls."))
            .map(|(name, shape)| (name.replacen("bert.", "", 1), shape))
            .collect();
        Some(Synthetic {
            tensors,
            beside: vec![("tokenizer.json", tokenizer.to_string().into_bytes())],
            ..Synthetic::of(config.to_json())
        })
    }
}
