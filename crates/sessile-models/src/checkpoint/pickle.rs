//! Reading pickles without running them.
//!
//! A pickle is a program for a small stack machine, and Python lets it call anything. This reader
//! runs the machine but knows only a short list of names, each of which stands for data that it
//! builds itself; any other name is refused, by its name, with nothing done. Sizes in the file are
//! believed only as far as its bytes reach.
//!
//! The opcodes (protocols 0 to 5) are described in Python's `pickletools`, what torch writes with
//! them in `torch/_utils.py` and `torch/serialization.py`.

mod call;
mod finish;
mod globals;
mod machine;
mod stream;
mod value;

pub(crate) use self::stream::op;
pub use self::value::{Dict, Object, Tensor, Value};
use crate::error::ModelError;

/// Reads the value that a pickle describes.
///
/// # Errors
///
/// `Unsafe` when the pickle asks for a Python name that is not data, `Malformed` when it is cut
/// short or no pickle, `Unsupported` for objects that contain themselves, are nested too deep or
/// are of kinds that torch does not write.
///
/// # Examples
///
/// ```
/// use sessile_models::ModelErrorKind;
/// use sessile_models::checkpoint::pickle;
///
/// let value = pickle::parse(b"\x80\x02}X\x01\x00\x00\x00aK\x07s.")?;
/// assert_eq!(value.get("a").and_then(|a| a.as_int()), Some(7));
///
/// let error = pickle::parse(b"cos\nsystem\n(S'true'\ntR.").unwrap_err();
/// assert_eq!(error.kind(), ModelErrorKind::Unsafe);
/// assert!(error.to_string().contains("os.system"));
/// # Ok::<(), sessile_models::ModelError>(())
/// ```
pub fn parse(bytes: &[u8]) -> Result<Value, ModelError> {
    finish::finish(machine::Machine::new(bytes).run()?, bytes.len())
}
