//! Writing a classifier: safetensors, or what `torch.load` reads.

use std::io::{self, Write};
use std::path::Path;

use super::MlpClassifier;
use super::load::{BINDING_KEY, sidecar};
use crate::checkpoint::{Saved, StoredTensor, write_safetensors, write_torch};

/// Forms that a classifier can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClassifierFormat {
    /// safetensors, the binding in its metadata.
    Safetensors,
    /// A state dict for `load_state_dict`, the binding in `FILE.json`.
    StateDict,
    /// The whole module, as the original's `torch.load(…, weights_only=False)` wants it where
    /// `MLPClassifier` is defined in `__main__`; the binding in `FILE.json`.
    Module,
}

impl ClassifierFormat {
    /// The form that a file name asks for: `.safetensors`, `.pt` (state dict) or `.pth` (module).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::classifier::ClassifierFormat;
    ///
    /// let of = |name: &str| ClassifierFormat::of_name(name.as_ref());
    /// assert_eq!(of("model.pth"), Some(ClassifierFormat::Module));
    /// assert_eq!(of("model.txt"), None);
    /// ```
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "safetensors" => Some(ClassifierFormat::Safetensors),
            "pt" | "bin" => Some(ClassifierFormat::StateDict),
            "pth" => Some(ClassifierFormat::Module),
            _ => None,
        }
    }
}

impl MlpClassifier {
    /// Writes the classifier; `name` is the file's name without its extension.
    ///
    /// # Errors
    ///
    /// When `out` can not be written.
    pub fn write<W: Write>(&self, out: W, name: &str, format: ClassifierFormat) -> io::Result<W> {
        match format {
            ClassifierFormat::Safetensors => {
                let metadata = [("format", "pt"), (BINDING_KEY, &self.binding_text())];
                let batches = [self.norm_batches];
                let mut tensors: Vec<_> = self
                    .tensors()
                    .into_iter()
                    .map(|(name, shape, data)| (name, shape, StoredTensor::F32(data)))
                    .collect();
                tensors.push((
                    "bn1.num_batches_tracked",
                    Vec::new(),
                    StoredTensor::I64(&batches),
                ));
                write_safetensors(out, &metadata, &tensors)
            }
            ClassifierFormat::StateDict => write_torch(out, name, &self.state_dict()),
            ClassifierFormat::Module => write_torch(out, name, &self.module()),
        }
    }

    /// The binding as it stands in `FILE.json`.
    pub fn binding_text(&self) -> String {
        serde_json::to_string(&self.binding).unwrap_or_default()
    }

    /// Where the binding of a classifier in torch's format is kept.
    pub fn binding_path(path: &Path) -> std::path::PathBuf {
        sidecar(path)
    }

    fn tensors(&self) -> Vec<(&'static str, Vec<usize>, &[f32])> {
        let (hidden, width, classes) = (self.hidden(), self.width(), self.output_bias.len());
        vec![
            (
                "hidden_layer.weight",
                vec![hidden, width],
                &self.hidden_weight.data,
            ),
            ("hidden_layer.bias", vec![hidden], &self.hidden_bias),
            ("bn1.weight", vec![hidden], &self.norm_gain),
            ("bn1.bias", vec![hidden], &self.norm_shift),
            ("bn1.running_mean", vec![hidden], &self.norm_mean),
            ("bn1.running_var", vec![hidden], &self.norm_variance),
            (
                "output_layer.weight",
                vec![classes, hidden],
                &self.output_weight.data,
            ),
            ("output_layer.bias", vec![classes], &self.output_bias),
        ]
    }

    fn tensor<'a>(&'a self, name: &str) -> Saved<'a> {
        self.tensors()
            .into_iter()
            .find(|(have, ..)| *have == name)
            .map_or(Saved::None, |(_, shape, data)| Saved::Tensor {
                shape,
                data: data.into(),
            })
    }

    fn batches(&self) -> Saved<'_> {
        Saved::Integers {
            shape: Vec::new(),
            data: vec![self.norm_batches].into(),
        }
    }

    fn state_dict(&self) -> Saved<'_> {
        let mut entries: Vec<(Saved<'_>, Saved<'_>)> = self
            .tensors()
            .into_iter()
            .map(|(name, ..)| (name.into(), self.tensor(name)))
            .collect();
        entries.insert(6, ("bn1.num_batches_tracked".into(), self.batches()));
        Saved::Dict(entries)
    }

    /// The module's attributes, as `torch.nn.Module.__setstate__` takes them; what newer versions
    /// of torch add it fills in itself.
    fn module(&self) -> Saved<'_> {
        let linear = |prefix: &str, inputs: usize, outputs: usize| {
            let parameters = [
                ("weight", format!("{prefix}.weight")),
                ("bias", format!("{prefix}.bias")),
            ];
            let parameters = parameters.map(|(name, full)| (name.into(), self.tensor(&full)));
            let own = vec![
                ("in_features".into(), Saved::Int(inputs as i64)),
                ("out_features".into(), Saved::Int(outputs as i64)),
            ];
            layer(
                "torch.nn.modules.linear",
                "Linear",
                parameters.to_vec(),
                Vec::new(),
                own,
            )
        };
        let (hidden, classes) = (self.hidden(), self.output_bias.len());
        let norm = layer(
            "torch.nn.modules.batchnorm",
            "BatchNorm1d",
            vec![
                ("weight".into(), self.tensor("bn1.weight")),
                ("bias".into(), self.tensor("bn1.bias")),
            ],
            vec![
                ("running_mean".into(), self.tensor("bn1.running_mean")),
                ("running_var".into(), self.tensor("bn1.running_var")),
                ("num_batches_tracked".into(), self.batches()),
            ],
            vec![
                ("num_features".into(), Saved::Int(hidden as i64)),
                ("eps".into(), Saved::Float(1e-5)),
                ("momentum".into(), Saved::Float(0.1)),
                ("affine".into(), Saved::Bool(true)),
                ("track_running_stats".into(), Saved::Bool(true)),
            ],
        );
        let dropout = layer(
            "torch.nn.modules.dropout",
            "Dropout",
            Vec::new(),
            Vec::new(),
            vec![
                ("p".into(), Saved::Float(0.5)),
                ("inplace".into(), Saved::Bool(false)),
            ],
        );
        let mut state = attributes(Vec::new(), Vec::new());
        state.push((
            "_modules".into(),
            Saved::Dict(vec![
                (
                    "hidden_layer".into(),
                    linear("hidden_layer", self.width(), hidden),
                ),
                ("bn1".into(), norm),
                (
                    "output_layer".into(),
                    linear("output_layer", hidden, classes),
                ),
                ("dropout".into(), dropout),
            ]),
        ));
        Saved::Object {
            module: "__main__",
            class: "MLPClassifier",
            state,
        }
    }
}

type Entries<'a> = Vec<(Saved<'a>, Saved<'a>)>;

fn attributes<'a>(parameters: Entries<'a>, buffers: Entries<'a>) -> Entries<'a> {
    let parameters = parameters
        .into_iter()
        .map(|(name, tensor)| (name, Saved::Parameter(Box::new(tensor))))
        .collect();
    let empty = || Saved::Dict(Vec::new());
    vec![
        ("training".into(), Saved::Bool(false)),
        ("_parameters".into(), Saved::Dict(parameters)),
        ("_buffers".into(), Saved::Dict(buffers)),
        ("_non_persistent_buffers_set".into(), Saved::EmptySet),
        ("_backward_hooks".into(), empty()),
        ("_forward_hooks".into(), empty()),
        ("_forward_pre_hooks".into(), empty()),
        ("_state_dict_hooks".into(), empty()),
        ("_load_state_dict_pre_hooks".into(), empty()),
    ]
}

fn layer<'a>(
    module: &'static str,
    class: &'static str,
    parameters: Entries<'a>,
    buffers: Entries<'a>,
    own: Entries<'a>,
) -> Saved<'a> {
    let mut state = attributes(parameters, buffers);
    state.push(("_modules".into(), Saved::Dict(Vec::new())));
    state.extend(own);
    Saved::Object {
        module,
        class,
        state,
    }
}
