//! Documents on their way to the disk, in the layout of genome_entropy.

use std::io::Write;
use std::path::Path;

use super::format::Document;
use crate::error::PipelineError;
use crate::journal::Journal;
use crate::output::{Compressed, Compression, Destination, OutputFiles, Outputs};
use crate::shard::{Entry, MergeSink, Piece, Shared};

/// Writes the texts of records in their order.
pub(super) struct DocumentWriter {
    name: String,
    pub(super) form: Document,
    out: Compressed,
    is_empty: bool,
}

impl DocumentWriter {
    pub(super) fn new(
        path: &Path,
        form: Document,
        compression: Compression,
        out: Destination,
    ) -> Result<Self, PipelineError> {
        let name = path.display().to_string();
        let out = Compressed::new(out, compression);
        let mut writer = DocumentWriter {
            out: out.map_err(|error| PipelineError::output(&name, error))?,
            name,
            form,
            is_empty: true,
        };
        writer.put(form.header().as_bytes())?;
        Ok(writer)
    }

    /// The documents among these files.
    pub(super) fn open_all(
        files: &OutputFiles,
        journal: Option<&Journal>,
    ) -> Result<Vec<Self>, PipelineError> {
        let mut writers = Vec::new();
        for (path, kind) in files.own() {
            if let Some(form) = Document::of(kind.format) {
                let out = files.open_one(path, journal)?;
                writers.push(DocumentWriter::new(path, form, kind.compression, out)?);
            }
        }
        Ok(writers)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), PipelineError> {
        let written = self.out.write_all(bytes);
        written.map_err(|error| PipelineError::output(&self.name, error))
    }

    /// Writes a record, as [`Document::text`] gives it.
    pub(super) fn write(&mut self, text: &[u8]) -> Result<(), PipelineError> {
        self.put(self.form.separator(self.is_empty).as_bytes())?;
        self.is_empty = false;
        self.put(text)
    }

    /// Writes what is left and gives the file its name.
    pub(super) fn finish(mut self) -> Result<(), PipelineError> {
        let footer = self.form.footer(self.is_empty);
        self.put(footer.as_bytes())?;
        let finished = self.out.finish();
        finished.map_err(|error| PipelineError::output(&self.name, error))
    }
}

/// The files of a run that was merged.
struct MergedFiles {
    documents: Vec<DocumentWriter>,
    rows: Outputs,
}

/// The files that parts of `entropy run` become.
pub(crate) fn merge_sink(shared: &Shared<'_>) -> Result<Box<dyn MergeSink>, PipelineError> {
    let files = shared.outputs(super::DEFAULT_FORMAT)?;
    let files = files.with_own(|format| Document::of(format).is_some());
    let schema = &shared.header.schema;
    files.check(schema)?;
    Ok(Box::new(MergedFiles {
        documents: DocumentWriter::open_all(&files, None)?,
        rows: files.open(schema, None)?,
    }))
}

impl MergeSink for MergedFiles {
    fn write(&mut self, entry: &Entry) -> Result<(), PipelineError> {
        match &entry.piece {
            Piece::Own(text) => (self.documents.iter_mut())
                .try_for_each(|writer| writer.write(&writer.form.of_list(text))),
            _ => MergeSink::write(&mut self.rows, entry),
        }
    }

    fn finish(self: Box<Self>) -> Result<Vec<String>, PipelineError> {
        let mut documents = self.documents.into_iter();
        documents.try_for_each(DocumentWriter::finish)?;
        self.rows.finish(0)
    }
}
