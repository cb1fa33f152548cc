//! The names of Python that a pickle may have.

use crate::Dtype;

/// The names of Python that are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    OrderedDict,
    DefaultDict,
    Size,
    Set,
    Encode,
    /// `torch._utils._rebuild_tensor`, `_v2`: storage, offset, size, stride ...
    Tensor,
    /// The same with the element type as seventh argument.
    TensorV3,
    /// `torch._utils._rebuild_parameter`: tensor ...
    Parameter,
    /// `torch._tensor._rebuild_from_type_v2`: function, type, its arguments, state.
    FromType,
    /// The type of a storage's elements; `None` where the tensor says it.
    Storage(Option<Dtype>),
    /// An element type.
    Type(Dtype),
    /// Harmless, and not needed.
    Opaque,
}

const fn other(name: &'static str, bits: u16) -> Dtype {
    Dtype::Other { name, bits }
}

/// PyTorch's storages and element types: its names of both, and ours.
pub(crate) const TYPES: &[(&str, &str, Dtype)] = &[
    ("FloatStorage", "float32", Dtype::F32),
    ("DoubleStorage", "float64", Dtype::F64),
    ("HalfStorage", "float16", Dtype::F16),
    ("BFloat16Storage", "bfloat16", Dtype::Bf16),
    ("LongStorage", "int64", Dtype::I64),
    ("IntStorage", "int32", Dtype::I32),
    ("ShortStorage", "int16", Dtype::I16),
    ("CharStorage", "int8", Dtype::I8),
    ("ByteStorage", "uint8", Dtype::U8),
    ("BoolStorage", "bool", Dtype::Bool),
    ("ComplexFloatStorage", "complex64", other("C64", 64)),
    ("ComplexDoubleStorage", "complex128", other("C128", 128)),
    ("", "complex32", other("C32", 32)),
    ("", "uint16", Dtype::U16),
    ("", "uint32", Dtype::U32),
    ("", "uint64", Dtype::U64),
    ("", "float8_e4m3fn", other("F8_E4M3", 8)),
    ("", "float8_e5m2", other("F8_E5M2", 8)),
    ("", "float8_e4m3fnuz", other("F8_E4M3FNUZ", 8)),
    ("", "float8_e5m2fnuz", other("F8_E5M2FNUZ", 8)),
    ("", "float8_e8m0fnu", other("F8_E8M0", 8)),
];

/// Objects that checkpoints carry beside their tensors.
const OPAQUE: &[&str] = &[
    "argparse.Namespace",
    "types.SimpleNamespace",
    "datetime.datetime",
    "datetime.timedelta",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy.float64",
    "numpy.float32",
    "numpy.int64",
    "torch.device",
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "builtins.int",
    "builtins.float",
    "builtins.str",
    "builtins.list",
    "builtins.dict",
    "builtins.object",
    "builtins.complex",
    "builtins.slice",
    "builtins.bytearray",
    "__builtin__.int",
    "__builtin__.float",
    "__builtin__.list",
    "__builtin__.dict",
    "__builtin__.object",
    "__builtin__.complex",
    "copy_reg._reconstructor",
    "copyreg._reconstructor",
];

/// What a name of Python means here; the error says what is wrong with it.
pub(super) fn known(module: &str, name: &str) -> std::result::Result<Known, String> {
    let path = format!("{module}.{name}");
    Ok(match path.as_str() {
        "collections.OrderedDict" => Known::OrderedDict,
        "collections.defaultdict" | "collections.Counter" => Known::DefaultDict,
        "torch.Size" => Known::Size,
        "builtins.set" | "__builtin__.set" | "builtins.frozenset" | "__builtin__.frozenset" => Known::Set,
        "_codecs.encode" => Known::Encode,
        "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => Known::Tensor,
        "torch._utils._rebuild_tensor_v3" => Known::TensorV3,
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => Known::Parameter,
        "torch._tensor._rebuild_from_type_v2" => Known::FromType,
        "torch.storage.UntypedStorage" | "torch.UntypedStorage" => Known::Storage(None),
        "torch.storage._load_from_bytes" => {
            return Err("holds a file within the file (torch.storage._load_from_bytes): refused".into());
        }
        _ if matches!(module, "torch" | "torch.cuda" | "torch.storage") => {
            let found = TYPES.iter().find_map(|&(storage, element, dtype)| match name {
                _ if name == storage && !name.is_empty() => Some(Known::Storage(Some(dtype))),
                _ if name == element && module == "torch" => Some(Known::Type(dtype)),
                _ => None,
            });
            match found {
                Some(known) => known,
                // The type of a tensor in files of 2016.
                None if matches!(name.strip_suffix("Tensor"), Some(kind) if TYPES.iter().any(|(storage, ..)| {
                    storage.strip_suffix("Storage") == Some(kind)
                })) =>
                {
                    Known::Opaque
                }
                None if OPAQUE.contains(&path.as_str()) => Known::Opaque,
                None if name.starts_with("Q") || name.starts_with("q") => {
                    return Err(format!("holds quantised numbers ({path}), which are not read: save it dequantised"));
                }
                None => return Err(format!("holds a {path}, which is not read")),
            }
        }
        _ if OPAQUE.contains(&path.as_str()) => Known::Opaque,
        _ if module.starts_with("torch._utils") || module.starts_with("torch._tensor") => {
            let advice = "sparse, quantised or another special kind; save it dense and plain";
            return Err(format!("holds a tensor that is not read ({path}): {advice}"));
        }
        _ if module.starts_with("torch.nn") || module.starts_with("torchvision") || module.starts_with("timm") => {
            let advice = "save its state_dict: torch.save(model.state_dict(), path)";
            return Err(format!("is a whole pickled model ({path}), which is code and no weights: {advice}"));
        }
        _ => {
            let advice = "if it is the model's own class, save its state_dict: torch.save(model.state_dict(), path)";
            return Err(format!("wants to call {path}; such files can run any code, so it is refused; {advice}"));
        }
    })
}
