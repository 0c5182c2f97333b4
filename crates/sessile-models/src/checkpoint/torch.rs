//! Files of `torch.save`: a pickle and the storages it refers to, in one zip archive.
//!
//! Since torch 1.6 (`torch/serialization.py`): `NAME/data.pkl` holds the pickle, `NAME/data/KEY` the
//! bytes of each storage. Tensors may share a storage (tied weights) or see only a part of it.

mod save;

use std::path::Path;

use sessile_device::{DeviceError, HostTensor, RowSource};

pub use self::save::{Saved, write_torch};
use super::contents::in_file;
use super::file::WeightFile;
use super::pickle::{self, Tensor, Value};
use super::rows::{TensorRows, readable_as_f32, unreadable_as};
use super::strided::Strided;
use super::tensor::TensorInfo;
use super::zip::Archive;
use crate::error::{ModelError, ModelErrorKind};

/// The pickle is read into memory. Feature files that hold their numbers as Python lists are the
/// longest: 9 bytes for each.
const MAX_PICKLE_BYTES: u64 = 1 << 30;

/// A file of `torch.save` with whatever Python object is in it.
///
/// # Examples
///
/// ```
/// use sessile_models::checkpoint::TorchFile;
///
/// # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/virnucpro/e2e300");
/// let file = TorchFile::open(format!("{golden}/output_1_merged.pt").as_ref())?;
/// let ids = file.value().get("ids").and_then(|ids| ids.as_list()).unwrap();
/// assert_eq!(ids[0].as_str(), Some("short_len10_chunk_1F1"));
/// # Ok::<(), sessile_models::ModelError>(())
/// ```
#[derive(Debug)]
pub struct TorchFile {
    archive: Archive,
    /// The folder inside the archive that everything lies in, with its slash.
    prefix: String,
    value: Value,
}

impl TorchFile {
    /// Opens a file and reads its pickle; tensors stay in the file.
    ///
    /// # Errors
    ///
    /// As for [`Checkpoint::open`](super::Checkpoint::open).
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let file = WeightFile::open(path)?;
        TorchFile::from_file(file).map_err(|error| in_file(error, path))
    }

    pub(crate) fn from_file(file: WeightFile) -> Result<Self, ModelError> {
        let archive = Archive::open(file)?;
        let prefix = archive
            .names()
            .find_map(|name| name.strip_suffix("data.pkl"))
            .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'))
            .map(str::to_owned);
        let Some(prefix) = prefix else {
            return Err(ModelError::new(
                ModelErrorKind::Unsupported,
                "the zip archive holds no `data.pkl`: torch.save did not write it",
            ));
        };
        if archive
            .names()
            .any(|name| name.strip_prefix(&prefix) == Some("constants.pkl"))
        {
            return Err(ModelError::new(
                ModelErrorKind::Unsupported,
                "this is a TorchScript archive, which holds a program",
            )
            .with_hint("save the state_dict() of the model instead"));
        }
        const BYTE_ORDER: u64 = 16;
        if archive
            .read(&format!("{prefix}byteorder"), BYTE_ORDER)?
            .is_some_and(|o| o != b"little")
        {
            return Err(ModelError::new(
                ModelErrorKind::Unsupported,
                "the numbers are stored in big-endian order",
            )
            .with_hint("save it again on a little-endian machine"));
        }
        let pickle = archive.read(&format!("{prefix}data.pkl"), MAX_PICKLE_BYTES)?;
        let value = pickle::parse(&pickle.unwrap_or_default())?;
        Ok(TorchFile {
            archive,
            prefix,
            value,
        })
    }

    /// The object that was saved.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The numbers of one of the object's tensors, as f32.
    ///
    /// # Errors
    ///
    /// `Malformed` when its storage is missing or too short, `Unsupported` for a number format that
    /// can not be read as f32, `Device` when the file can not be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::checkpoint::TorchFile;
    ///
    /// # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/virnucpro/e2e300");
    /// let file = TorchFile::open(format!("{golden}/output_1_merged.pt").as_ref())?;
    /// let merged = file.value().get("data").and_then(|data| data.as_tensor()).unwrap();
    /// assert_eq!(file.read(merged)?.shape, [50, 120]);
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn read(&self, tensor: &Tensor) -> Result<HostTensor, ModelError> {
        self.with_rows(tensor, |rows| rows.to_host())
    }

    /// Some rows of one of the object's tensors, as f32: the first dimension counts the rows.
    ///
    /// # Errors
    ///
    /// As [`TorchFile::read`], and `Device` when the tensor has no such rows.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile_models::checkpoint::TorchFile;
    ///
    /// # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/virnucpro/e2e300");
    /// let file = TorchFile::open(format!("{golden}/output_1_merged.pt").as_ref())?;
    /// let merged = file.value().get("data").and_then(|data| data.as_tensor()).unwrap();
    /// let mut two = [0.0; 240];
    /// file.read_rows(merged, 48, &mut two)?;
    /// # Ok::<(), sessile_models::ModelError>(())
    /// ```
    pub fn read_rows(
        &self,
        tensor: &Tensor,
        first: usize,
        out: &mut [f32],
    ) -> Result<(), ModelError> {
        self.with_rows(tensor, |rows| rows.read_rows(first, out))
    }

    fn with_rows<T>(
        &self,
        tensor: &Tensor,
        read: impl FnOnce(TensorRows<'_>) -> Result<T, DeviceError>,
    ) -> Result<T, ModelError> {
        let file = self.archive.file();
        let info = self
            .info(tensor, 0)
            .map_err(|error| in_file(error, file.path()))?;
        if !readable_as_f32(info.dtype) {
            return Err(in_file(
                ModelError::new(ModelErrorKind::Unsupported, unreadable_as(info.dtype)),
                file.path(),
            ));
        }
        Ok(read(TensorRows {
            name: &tensor.storage,
            info: &info,
            file,
        })?)
    }

    /// Where a tensor lies in the file, which has this number in its checkpoint.
    pub(crate) fn info(&self, tensor: &Tensor, file: usize) -> Result<TensorInfo, ModelError> {
        let entry = format!("{}data/{}", self.prefix, tensor.storage);
        let place = self.archive.place(&entry)?;
        let Some((start, bytes)) = place else {
            // A tensor without elements may have no storage in the file.
            if tensor.shape.contains(&0) {
                let place = Strided::dense(0);
                return Ok(TensorInfo {
                    shape: tensor.shape.clone(),
                    dtype: tensor.dtype,
                    file,
                    place,
                });
            }
            return Err(ModelError::new(
                ModelErrorKind::Malformed,
                format!("the storage `{entry}` is not in the archive"),
            ));
        };
        if bytes < tensor.storage_bytes {
            return Err(ModelError::new(
                ModelErrorKind::Malformed,
                format!(
                    "the storage `{entry}` has {bytes} bytes, the pickle says {}",
                    tensor.storage_bytes
                ),
            ));
        }
        // The pickle's reader has checked that the view lies inside its storage.
        let offset = start + tensor.offset * tensor.dtype.size() as u64;
        let place = Strided::view(offset, &tensor.shape, tensor.strides.clone());
        Ok(TensorInfo {
            shape: tensor.shape.clone(),
            dtype: tensor.dtype,
            file,
            place,
        })
    }

    pub(crate) fn into_file(self) -> WeightFile {
        self.archive.into_file()
    }
}
