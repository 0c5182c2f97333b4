//! The ORFs of many files, those that can be read.

use std::time::Instant;

use sessile_seq::inputs::Input;

use sessile_pipelines::Interrupt;
use sessile_pipelines::entropy::stored::{self, Stored, StoredOrf};
use sessile_pipelines::no_records;
use sessile_pipelines::stored_bytes;
use sessile_pipelines::{Observer, Progress};
use sessile_pipelines::{PipelineError, PipelineErrorKind};

/// ORFs between looks at the clock and at signals.
const STRIDE: u64 = 256;

/// Whether an ORF could be used, or what is wrong with it.
pub(super) type Taken = Result<(), String>;

/// Reads files one after the other. What can not be read is told to the observer and counted.
pub(super) struct Rows<'a> {
    pub(super) observer: &'a mut dyn Observer,
    pub(super) interrupt: &'a Interrupt,
    pub(super) progress: Progress,
    begun: Instant,
    /// What made a file, or the rest of one, unreadable.
    problem: Option<PipelineError>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(
        files: &[Input],
        observer: &'a mut dyn Observer,
        interrupt: &'a Interrupt,
    ) -> Self {
        Rows {
            observer,
            interrupt,
            progress: Progress {
                bytes_total: files.iter().map(stored_bytes).sum(),
                ..Progress::default()
            },
            begun: Instant::now(),
            problem: None,
        }
    }

    /// Reads a file; `take` is given its ORFs and says what is wrong with one, if something is.
    /// Gives whether any of them is marked as annotated: where none is, the genome may have had no
    /// annotation, and nothing is known of them.
    pub(super) fn read(
        &mut self,
        input: &Input,
        take: &mut dyn FnMut(&StoredOrf) -> Result<Taken, PipelineError>,
    ) -> Result<bool, PipelineError> {
        let file = input.name();
        let mut is_empty = true;
        let mut is_marked = false;
        let result = stored::read(input, &mut |stored| {
            is_empty = false;
            let (id, wrong) = match stored {
                Stored::Record(_) => return Ok(()),
                Stored::Incomplete(id, what) => (id.to_owned(), Err(what.to_owned())),
                Stored::Orf(orf) => {
                    is_marked |= orf.in_genbank == Some(true);
                    let of = |what| format!("{} of {}: {what}", orf.id, orf.record);
                    (String::new(), take(orf)?.map_err(of))
                }
            };
            self.progress.records += 1;
            if let Err(what) = wrong {
                self.progress.failed += 1;
                let place = match id.as_str() {
                    "" => file.clone(),
                    id => format!("{file}: {id}"),
                };
                self.observer.failure(&id, &place, &what);
            }
            if self.progress.records.is_multiple_of(STRIDE) {
                self.look()?;
            }
            Ok(())
        });
        self.progress.bytes_read += stored_bytes(input);
        self.look()?;
        if is_empty && result.is_ok() {
            self.observer.note(&no_records(&file));
        }
        match result {
            Err(error) if error.kind() == PipelineErrorKind::Input => {
                self.progress.failed += 1;
                self.observer.failure("", "", &error.to_string());
                self.problem.get_or_insert(error);
                Ok(is_marked)
            }
            other => other.map(|()| is_marked),
        }
    }

    fn look(&mut self) -> Result<(), PipelineError> {
        if let Some(signal) = self.interrupt.signal() {
            return Err(PipelineError::new(
                PipelineErrorKind::Interrupted,
                format!("stopped by signal {signal}; no file was written"),
            ));
        }
        self.progress.elapsed = self.begun.elapsed();
        self.observer.progress(&self.progress);
        Ok(())
    }

    /// Takes what made a file unreadable, for when nothing else was found.
    pub(super) fn problem(&mut self) -> Option<PipelineError> {
        self.problem.take()
    }
}
