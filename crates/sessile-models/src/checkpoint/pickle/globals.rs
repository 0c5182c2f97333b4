//! The Python names that a pickle may ask for. Everything else is refused.
//!
//! A pickle is a program, and naming a callable is how it gets at code. No name here leads to any:
//! each stands for a piece of data that this reader builds itself.

use super::super::tensor::TensorDType;

/// A Python name that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict`: a dict.
    OrderedDict,
    /// `set` and `frozenset`.
    Set,
    /// `_codecs.encode`, with which protocol 2 writes bytes as text.
    Encode,
    /// `torch.Size`: a tuple.
    Size,
    /// A class of storages, with the elements' format; bytes when it has none.
    Storage(Option<TensorDType>),
    /// `torch.float32` and the like.
    DType(TensorDType),
    /// `torch._utils._rebuild_tensor` (without the arguments that are not needed) or `_v2`.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`, which also names the number format.
    RebuildTensorV3,
    /// `torch._utils._rebuild_parameter`: the tensor in it.
    RebuildParameter,
    /// A class whose instances are kept as their attributes.
    Class,
}

/// Modules of `torch.nn` that classifier heads are made of, each in its own Python module.
const LAYERS: [(&str, &[&str]); 9] = [
    ("linear", &["Linear", "Identity"]),
    ("batchnorm", &["BatchNorm1d", "BatchNorm2d"]),
    ("dropout", &["Dropout", "Dropout1d", "Dropout2d"]),
    (
        "activation",
        &[
            "ReLU",
            "GELU",
            "SiLU",
            "Sigmoid",
            "Tanh",
            "Softmax",
            "LogSoftmax",
            "ELU",
        ],
    ),
    ("container", &["Sequential", "ModuleList", "ModuleDict"]),
    ("conv", &["Conv1d", "Conv2d"]),
    ("normalization", &["LayerNorm"]),
    ("sparse", &["Embedding"]),
    ("flatten", &["Flatten"]),
];

/// VirNucPro's classifier. It is pickled under whatever module the training script ran as.
const CLASSIFIER: &str = "MLPClassifier";

/// No Python module has a longer name.
const MAX_MODULE_NAME: usize = 255;

/// What a name stands for, or nothing when it is not known.
pub(super) fn lookup(module: &str, name: &str) -> Option<Global> {
    if name == CLASSIFIER && module.len() <= MAX_MODULE_NAME {
        return Some(Global::Class);
    }
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("builtins" | "__builtin__", "set" | "frozenset") => Global::Set,
        ("_codecs", "encode") => Global::Encode,
        ("argparse", "Namespace") => Global::Class,
        ("torch", "Size") => Global::Size,
        ("torch", "device") => Global::Class,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v3") => Global::RebuildTensorV3,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch" | "torch.storage", "UntypedStorage") => Global::Storage(None),
        ("torch" | "torch.cuda", _) => return torch(name),
        _ => {
            let layer = module.strip_prefix("torch.nn.modules.")?;
            let (_, classes) = LAYERS.iter().find(|(layers, _)| *layers == layer)?;
            return classes.contains(&name).then_some(Global::Class);
        }
    })
}

fn torch(name: &str) -> Option<Global> {
    if let Some(element) = name.strip_suffix("Storage") {
        let dtype = match element {
            "Double" => TensorDType::F64,
            "Float" => TensorDType::F32,
            "Half" => TensorDType::F16,
            "BFloat16" => TensorDType::Bf16,
            "Long" => TensorDType::I64,
            "Int" => TensorDType::I32,
            "Short" => TensorDType::I16,
            "Char" => TensorDType::I8,
            "Byte" => TensorDType::U8,
            "Bool" => TensorDType::Bool,
            "ComplexFloat" => TensorDType::C64,
            _ => return None,
        };
        return Some(Global::Storage(Some(dtype)));
    }
    Some(Global::DType(match name {
        "float64" | "double" => TensorDType::F64,
        "float32" | "float" => TensorDType::F32,
        "float16" | "half" => TensorDType::F16,
        "bfloat16" => TensorDType::Bf16,
        "float8_e4m3fn" => TensorDType::F8E4M3,
        "float8_e5m2" => TensorDType::F8E5M2,
        "complex64" => TensorDType::C64,
        "int64" | "long" => TensorDType::I64,
        "int32" | "int" => TensorDType::I32,
        "int16" | "short" => TensorDType::I16,
        "int8" => TensorDType::I8,
        "uint64" => TensorDType::U64,
        "uint32" => TensorDType::U32,
        "uint16" => TensorDType::U16,
        "uint8" => TensorDType::U8,
        "bool" => TensorDType::Bool,
        _ => return None,
    }))
}
