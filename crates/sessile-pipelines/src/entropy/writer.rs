//! A file of records on its way to the disk, with the table of a part beside it where it is one.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::format::RecordFormat;
use super::part::PartTable;
use crate::error::PipelineError;
use crate::output::{Compressed, Compression, Destination};

/// Writes the texts of records in their order.
pub(super) struct RecordWriter {
    name: String,
    format: RecordFormat,
    out: Compressed,
    records: u64,
    part: Option<PartTable>,
}

impl RecordWriter {
    pub(super) fn new(
        path: &Path,
        format: RecordFormat,
        out: Destination,
        part: Option<PartTable>,
    ) -> Result<Self, PipelineError> {
        // No time and no name in the header: the same records give the same bytes.
        let compression = match format.gzip {
            true => Compression::Gzip,
            false => Compression::None,
        };
        let name = path.display().to_string();
        let out = Compressed::new(out, compression);
        let mut writer = RecordWriter {
            out: out.map_err(|error| PipelineError::output(&name, error))?,
            name,
            format,
            records: 0,
            part,
        };
        let header = format.form.header();
        writer.put(header.as_bytes())?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), PipelineError> {
        let written = self.out.write_all(bytes);
        written.map_err(|error| PipelineError::output(&self.name, error))
    }

    /// What its records look like.
    pub(super) fn format(&self) -> RecordFormat {
        self.format
    }

    /// Writes a record, as [`super::format::RecordForm::text`] gives it.
    pub(super) fn write(&mut self, number: u64, text: &[u8]) -> Result<(), PipelineError> {
        self.begin(number, text.len() as u64)?;
        self.put(text)
    }

    /// Begins a record of so many bytes, which are then written by the caller.
    pub(super) fn begin(&mut self, number: u64, bytes: u64) -> Result<(), PipelineError> {
        let separator = self.format.form.separator(self.records == 0);
        self.put(separator.as_bytes())?;
        self.records += 1;
        match &mut self.part {
            Some(part) => part
                .push(number, bytes)
                .map_err(|error| PipelineError::output(&self.name, error)),
            None => Ok(()),
        }
    }

    /// Where the bytes of a record that was begun go.
    pub(super) fn bytes(&mut self) -> &mut impl Write {
        &mut self.out
    }

    /// Writes what is left and gives the file its name.
    pub(super) fn finish(mut self) -> Result<(), PipelineError> {
        let footer = self.format.form.footer(self.records == 0);
        self.put(footer.as_bytes())?;
        let name = self.name;
        let finish = || {
            if let Some(part) = self.part {
                part.finish()?;
            }
            self.out.finish()
        };
        finish().map_err(|error| PipelineError::output(&name, error))
    }
}

/// The table beside a file of a part.
pub(super) fn table_path(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".part");
    PathBuf::from(name)
}
