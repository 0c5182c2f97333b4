//! ModernBERT among the families.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use sessile_device::{DType, Device};

use super::config::DEFAULT_TOKENS;
use super::{ModernBert, ModernBertConfig, tensor_shapes};
use crate::error::ModelError;
use crate::family::{Description, Family, HeadFile, LoadedEncoder, Parts, Published};
use crate::synthesize::{Shapes, Synthetic, letters};
use crate::tokenizer::{EsmTokenizer, LetterTokenizer, Preprocessing, Tokenizer};

impl Family for ModernBertConfig {
    const ABOUT: &'static str = "modernbert (ModernProst)";
    const SIZES: &'static [&'static str] = &["modernprost_50M"];
    const PUBLISHED: &'static [Published] = &[
        Published {
            name: "gbouras13/modernprost-50M",
            short: None,
            about: "ModernProst, 3Di and 12 states",
        },
        Published {
            name: "gbouras13/modernprost-base",
            short: None,
            about: "ModernProst, 3Di and 12 states",
        },
    ];
    const HEAD: HeadFile = HeadFile::Named;

    fn recognises(config: &Value) -> bool {
        ModernBertConfig::is_named_in(config)
    }

    fn from_json(config: &Value) -> Result<Self, ModelError> {
        ModernBertConfig::from_json(config)
    }

    fn description(&self) -> Description {
        Description {
            architecture: "modern_bert",
            encodes: true,
            layers: self.layers,
            hidden: self.hidden,
            heads: self.heads,
            vocabulary: self.vocabulary,
            max_tokens: self.positions.min(DEFAULT_TOKENS),
            max_target_tokens: None,
        }
    }

    fn tokenizer(
        &self,
        directory: &Path,
        preprocessing: Preprocessing,
    ) -> Result<Tokenizer, ModelError> {
        let mut files = ["tokenizer.json", "vocab.txt"].iter();
        let tokenizer = if self.is_legacy && !files.any(|file| directory.join(file).exists()) {
            LetterTokenizer::of_first_modernprost(preprocessing)
        } else {
            LetterTokenizer::from_directory(directory, preprocessing)?
        };
        Ok(Tokenizer::Letters(Arc::new(tokenizer)))
    }

    fn load_encoder<D: Device>(
        &self,
        device: &D,
        parts: &Parts<'_>,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<LoadedEncoder<D>, ModelError> {
        let (model, report) = ModernBert::load(device, parts, self.clone(), dtype, max_tokens)?;
        Ok((model.into_encoder(), report))
    }

    fn synthesize(_: &str, _: u64) -> Option<Synthetic> {
        let config = ModernBertConfig::of_50m();
        let mut tensors: Shapes = tensor_shapes(&config)
            .into_iter()
            .map(|(name, shape)| (format!("model.{name}"), shape))
            .collect();
        let hidden = config.hidden;
        tensors.extend(
            [
                ("head.dense.weight", vec![hidden, hidden]),
                ("head.norm.weight", vec![hidden]),
                ("classifier.weight", vec![20, hidden]),
                ("classifier.bias", vec![20]),
                ("classifier_12st.weight", vec![12, hidden]),
                ("classifier_12st.bias", vec![12]),
            ]
            .map(|(name, shape)| (name.to_owned(), shape)),
        );
        let tokenizer = letters(&EsmTokenizer::default());
        Some(Synthetic {
            tensors,
            beside: vec![("tokenizer.json", tokenizer.to_string().into_bytes())],
            ..Synthetic::of(config.to_json())
        })
    }
}
