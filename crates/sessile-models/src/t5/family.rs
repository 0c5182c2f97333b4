//! T5 among the families.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use sessile_device::{DType, Device};

use super::config::DEFAULT_TOKENS;
use super::{T5, T5Config, T5Translator, decoder_shapes, head_shapes, tensor_shapes};
use crate::error::{ModelError, ModelErrorKind};
use crate::family::{
    Description, Family, HeadFile, LoadedEncoder, LoadedWriter, Parts, Published, Writing,
    model_type,
};
use crate::synthesize::{FloatFormat, Synthetic};
use crate::tokenizer::{Preprocessing, ProstT5Tokenizer, Tokenizer};
use crate::weights::WeightSource;

impl Family for T5Config {
    const ABOUT: &'static str = "t5 (ProstT5, ProtT5, Ankh)";
    const SIZES: &'static [&'static str] = &["prostt5", "prostt5_translator"];
    const PUBLISHED: &'static [Published] = &[
        Published {
            name: "Rostlab/ProstT5",
            short: None,
            about: "ProstT5, residues to 3Di and back",
        },
        Published {
            name: "Rostlab/ProstT5_fp16",
            short: None,
            about: "ProstT5's encoder in half precision",
        },
        Published {
            name: "Rostlab/prot_t5_xl_uniref50",
            short: None,
            about: "ProtT5",
        },
        Published {
            name: "Rostlab/prot_t5_xl_half_uniref50-enc",
            short: None,
            about: "ProtT5's encoder in half precision",
        },
        Published {
            name: "ElnaggarLab/ankh-base",
            short: None,
            about: "Ankh",
        },
        Published {
            name: "ElnaggarLab/ankh-large",
            short: None,
            about: "Ankh",
        },
    ];
    /// The names of the repository of ProstT5, of phold and of Foldseek's conversion.
    const HEAD: HeadFile = HeadFile::Beside(&[
        "cnn/model.safetensors",
        "cnn/model.pt",
        "cnn/finetuned_model.pth",
        "cnn_chkpnt/model.pt",
        "cnn_chkpnt/AA_to_3Di_CNN.pt",
        "cnn_chkpnt_finetune/phrostt5_finetuned_cnn_head.pth",
        "cnn.safetensors",
        "cnn.pt",
        "model.pt",
        "finetuned_model.pth",
    ]);

    fn recognises(config: &Value) -> bool {
        model_type(config) == Some("t5")
    }

    fn from_json(config: &Value) -> Result<Self, ModelError> {
        T5Config::from_json(config)
    }

    fn description(&self) -> Description {
        Description {
            architecture: "t5",
            encodes: true,
            layers: self.layers,
            hidden: self.hidden,
            heads: self.heads,
            vocabulary: self.vocabulary,
            max_tokens: DEFAULT_TOKENS,
            max_target_tokens: None,
        }
    }

    fn tokenizer(
        &self,
        directory: &Path,
        preprocessing: Preprocessing,
    ) -> Result<Tokenizer, ModelError> {
        let tokenizer = ProstT5Tokenizer::for_rows(directory, preprocessing, self.vocabulary)?;
        Ok(Tokenizer::ProstT5(Arc::new(tokenizer)))
    }

    fn writes(&self, source: &dyn WeightSource) -> Option<Writing> {
        let is_last = |name: &&str| name.ends_with("decoder.final_layer_norm.weight");
        let writes = self.gate.is_none() && source.names().iter().any(is_last);
        writes.then_some(Writing::States)
    }

    fn load_encoder<D: Device>(
        &self,
        device: &D,
        parts: &Parts<'_>,
        dtype: DType,
        max_tokens: usize,
    ) -> Result<LoadedEncoder<D>, ModelError> {
        let (model, report) = T5::load(
            device,
            parts.source,
            parts.head,
            self.clone(),
            parts.tokenizer.special_tokens(),
            dtype,
            max_tokens,
        )?;
        Ok((model.into_encoder(), report))
    }

    fn load_writer<D: Device>(
        &self,
        device: &D,
        parts: &Parts<'_>,
        dtype: DType,
    ) -> Result<LoadedWriter<D>, ModelError> {
        if self.gate.is_some() {
            return Err(ModelError::new(
                ModelErrorKind::Unsupported,
                "config.json: a decoder with gated units is not supported",
            ));
        }
        let (model, report) = T5Translator::load(device, parts.source, self.clone(), dtype)?;
        Ok((Arc::new(model), report))
    }

    fn synthesize(name: &str, _: u64) -> Option<Synthetic> {
        let config = T5Config::published();
        let mut tensors = tensor_shapes(&config);
        if name == "prostt5_translator" {
            tensors.extend(decoder_shapes(&config));
        }
        Some(Synthetic {
            tensors,
            head: Some(("cnn/model.safetensors", head_shapes(&config))),
            // As Rostlab/ProstT5_fp16: half the size. The vocabulary is built in.
            format: FloatFormat::F16,
            ..Synthetic::of(config.to_json())
        })
    }
}
