//! ESM C among the families.

use std::path::Path;

use serde_json::Value;
use sessile_device::{DType, Device};

use super::{Esmc, EsmcConfig, Layout, tensor_shapes};
use crate::error::ModelError;
use crate::family::{Description, Family, LoadedEncoder, Parts, Published, model_type};
use crate::synthesize::Synthetic;
use crate::tokenizer::{EsmTokenizer, Preprocessing, Tokenizer};
use crate::weights::WeightSource;

impl Family for EsmcConfig {
    const ABOUT: &'static str = "esmc (ESM C)";
    const SIZES: &'static [&'static str] = &["esmc_300m", "esmc_600m"];
    const PUBLISHED: &'static [Published] = &[
        esmc("biohub/ESMC-300M"),
        esmc("biohub/ESMC-600M"),
        esmc("biohub/ESMC-6B"),
        esmc("EvolutionaryScale/esmc-300m-2024-12"),
        esmc("EvolutionaryScale/esmc-600m-2024-12"),
        esmc("Synthyra/ESMplusplus_small"),
        esmc("Synthyra/ESMplusplus_large"),
    ];

    fn recognises(config: &Value) -> bool {
        matches!(model_type(config), Some("esmc" | "ESMplusplus"))
    }

    fn from_json(config: &Value) -> Result<Self, ModelError> {
        EsmcConfig::from_json(config)
    }

    fn config_of(source: &dyn WeightSource) -> Option<Value> {
        EsmcConfig::of_tensors(source)
    }

    fn description(&self) -> Description {
        Description {
            architecture: "esmc",
            encodes: true,
            layers: self.layers,
            hidden: self.hidden,
            heads: self.heads,
            vocabulary: self.vocabulary,
            max_tokens: self.positions,
            max_target_tokens: None,
        }
    }

    fn tokenizer(&self, directory: &Path, _: Preprocessing) -> Result<Tokenizer, ModelError> {
        EsmTokenizer::of_esmc(directory).map(Tokenizer::Esm)
    }

    fn load_encoder<D: Device>(
        &self,
        device: &D,
        parts: &Parts<'_>,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<LoadedEncoder<D>, ModelError> {
        let (model, report) = Esmc::load(device, parts, self.clone(), dtype, max_tokens)?;
        Ok((model.into_encoder(), report))
    }

    fn synthesize(name: &str, _: u64) -> Option<Synthetic> {
        let config = EsmcConfig::published(name)?;
        Some(Synthetic {
            // The vocabulary is built in.
            tensors: tensor_shapes(&config, Layout::Transformers),
            ..Synthetic::of(config.to_json())
        })
    }
}

const fn esmc(name: &'static str) -> Published {
    Published {
        name,
        short: None,
        about: "ESM C",
    }
}
