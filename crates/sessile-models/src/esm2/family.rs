//! ESM-2 among the families.

use std::path::Path;

use serde_json::Value;
use sessile_device::{DType, Device};

use super::{Esm2, Esm2Config, tensor_shapes};
use crate::error::ModelError;
use crate::family::{Description, Family, LoadedEncoder, Parts, Published, model_type};
use crate::synthesize::Synthetic;
use crate::tokenizer::{EsmTokenizer, Preprocessing, Tokenizer};

impl Family for Esm2Config {
    const ABOUT: &'static str = "esm (ESM-2, ESM-1b, ESM-1v)";
    const SIZES: &'static [&'static str] = &[
        "esm2_t6_8M",
        "esm2_t12_35M",
        "esm2_t30_150M",
        "esm2_t33_650M",
        "esm2_t36_3B",
        "esm2_t48_15B",
    ];
    const PUBLISHED: &'static [Published] = &[
        esm2("facebook/esm2_t6_8M_UR50D", "esm2_t6_8M"),
        esm2("facebook/esm2_t12_35M_UR50D", "esm2_t12_35M"),
        esm2("facebook/esm2_t30_150M_UR50D", "esm2_t30_150M"),
        esm2("facebook/esm2_t33_650M_UR50D", "esm2_t33_650M"),
        esm2("facebook/esm2_t36_3B_UR50D", "esm2_t36_3B"),
        esm2("facebook/esm2_t48_15B_UR50D", "esm2_t48_15B"),
        Published {
            name: "facebook/esm1b_t33_650M_UR50S",
            short: None,
            about: "ESM-1b",
        },
        Published {
            name: "facebook/esm1v_t33_650M_UR90S_1",
            short: None,
            about: "ESM-1v, the first of five",
        },
    ];

    fn recognises(config: &Value) -> bool {
        model_type(config) == Some("esm")
    }

    fn from_json(config: &Value) -> Result<Self, ModelError> {
        Esm2Config::from_json(config)
    }

    fn description(&self) -> Description {
        Description {
            architecture: "esm2",
            encodes: true,
            layers: self.layers,
            hidden: self.hidden,
            heads: self.heads,
            vocabulary: self.vocabulary,
            max_tokens: self.default_max_tokens(),
            max_target_tokens: None,
        }
    }

    fn tokenizer(&self, directory: &Path, _: Preprocessing) -> Result<Tokenizer, ModelError> {
        EsmTokenizer::from_directory(directory).map(Tokenizer::Esm)
    }

    fn load_encoder<D: Device>(
        &self,
        device: &D,
        parts: &Parts<'_>,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<LoadedEncoder<D>, ModelError> {
        let (model, report) = Esm2::load(device, parts.source, self.clone(), dtype, max_tokens)?;
        Ok((model.into_encoder(), report))
    }

    fn synthesize(name: &str, _: u64) -> Option<Synthetic> {
        let config = Esm2Config::published(name)?;
        let vocabulary = EsmTokenizer::default().tokens().join("\n");
        Some(Synthetic {
            tensors: tensor_shapes(&config),
            beside: vec![("vocab.txt", vocabulary.into_bytes())],
            ..Synthetic::of(config.to_json())
        })
    }
}

const fn esm2(name: &'static str, short: &'static str) -> Published {
    Published {
        name,
        short: Some(short),
        about: "ESM-2",
    }
}
