//! BERT among the families.

use std::path::Path;

use serde_json::Value;
use sessile_device::{DType, Device};

use super::{Bert, BertConfig, tensor_shapes};
use crate::error::ModelError;
use crate::family::{Description, Family, LoadedEncoder, Parts, Published, model_type};
use crate::synthesize::{Synthetic, words};
use crate::tokenizer::{self, Preprocessing, Tokenizer};

impl Family for BertConfig {
    const ABOUT: &'static str = "bert (ProtBERT, AntiBERTy, MiniLM, BGE)";
    const SIZES: &'static [&'static str] = &["protbert", "minilm_l6"];
    const PUBLISHED: &'static [Published] = &[
        Published {
            name: "Rostlab/prot_bert",
            short: None,
            about: "ProtBERT",
        },
        Published {
            name: "Rostlab/prot_bert_bfd",
            short: None,
            about: "ProtBERT, trained on BFD",
        },
        Published {
            name: "sentence-transformers/all-MiniLM-L6-v2",
            short: None,
            about: "MiniLM, vectors of English text",
        },
        Published {
            name: "BAAI/bge-small-en-v1.5",
            short: None,
            about: "BGE, vectors of English text",
        },
    ];

    fn recognises(config: &Value) -> bool {
        model_type(config) == Some("bert")
    }

    fn from_json(config: &Value) -> Result<Self, ModelError> {
        BertConfig::from_json(config)
    }

    fn description(&self) -> Description {
        Description {
            architecture: "bert",
            encodes: true,
            layers: self.layers,
            hidden: self.hidden,
            heads: self.heads,
            vocabulary: self.vocabulary,
            // ProtBERT has a table of 40,000 positions.
            max_tokens: self.positions.min(DEFAULT_TOKENS),
            max_target_tokens: None,
        }
    }

    fn tokenizer(
        &self,
        directory: &Path,
        preprocessing: Preprocessing,
    ) -> Result<Tokenizer, ModelError> {
        tokenizer::of_bert(directory, preprocessing)
    }

    fn load_encoder<D: Device>(
        &self,
        device: &D,
        parts: &Parts<'_>,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<LoadedEncoder<D>, ModelError> {
        let (model, report) = Bert::load(device, parts, self.clone(), dtype, max_tokens)?;
        Ok((model.into_encoder(), report))
    }

    fn synthesize(name: &str, _: u64) -> Option<Synthetic> {
        let (config, words) = match name {
            "protbert" => (BertConfig::prot_bert(), words(&PROTEIN, 0)),
            _ => {
                let config = BertConfig::mini_lm();
                let words = words(&[], config.vocabulary);
                (config, words)
            }
        };
        let tensors = tensor_shapes(&config)
            .into_iter()
            .filter(|(tensor, _)| name == "protbert" || !tensor.starts_with("cls."))
            .collect();
        Some(Synthetic {
            tensors,
            beside: vec![("vocab.txt", words.into_bytes())],
            ..Synthetic::of(config.to_json())
        })
    }
}

/// The longest sequence in tokens unless something else is asked for, or the model's own limit
/// where that is less; memory is planned for this many.
const DEFAULT_TOKENS: usize = 4096;

/// Residues in the order of ProtBERT's vocabulary.
const PROTEIN: [&str; 25] = [
    "L", "A", "G", "V", "E", "S", "I", "K", "R", "D", "T", "P", "N", "Q", "F", "Y", "M", "H", "C",
    "W", "X", "U", "B", "Z", "O",
];
