//! A sample: from its records to its files.

mod files;
mod items;
mod task;
mod text;

use std::num::NonZeroUsize;
use std::sync::Arc;

use sessile_seq::inputs::Census;

use super::cds::{Finding, SampleCds};
use super::format::{Document, Forms};
use super::sample::Sample;
use super::sources::Source;
use super::writer::DocumentWriter;
use super::{Analysis, EntropySummary};
use crate::census;
use crate::error::PipelineError;
use crate::interrupt::Interrupt;
use crate::job::Engine;
use crate::progress::Observer;
use crate::shard::Shard;
use crate::three_di::StateModel;
pub(super) use files::prepare;
use items::Making;
use task::{Counts, RecordTask};

/// Computes a sample.
pub(super) fn run(
    analysis: &Analysis,
    sample: &Sample,
    shard: Shard,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<EntropySummary, PipelineError> {
    let sources = Source::of(sample)?;
    let options = &analysis.options;
    let (files, opened) = files::open(analysis, sample, shard, observer, interrupt)?;
    let mut aside = Vec::new();
    let annotated = Census::default();
    let cds = SampleCds::collect(
        sample,
        options.schema,
        options.code,
        &annotated,
        |place, reason| {
            aside.push((place.to_owned(), reason.to_owned()));
            Ok(())
        },
    )?;
    census::tell(&annotated, None, observer);
    let finding = Arc::new(Finding {
        code: options.code,
        rule: options.rule,
        cds,
    });
    let writers = DocumentWriter::open_all(&files, opened.journal.as_ref())?;
    let forms = match shard.is_whole() {
        true => Forms {
            documents: writers.iter().map(|writer| writer.form).collect(),
            rows: writers.len() < sample.outputs.len(),
        },
        // Merging makes any format of these.
        false => Forms {
            documents: vec![Document::List],
            rows: true,
        },
    };
    let model = analysis.model.as_ref();
    let task = RecordTask {
        layout: &analysis.layout,
        forms: forms.clone(),
        writers,
        model,
        finding: Arc::clone(&finding),
        is_whole: shard.is_whole(),
        current: None,
        counts: Counts::default(),
    };
    let making = Making {
        finding,
        shard,
        threads: threads(analysis),
        forms,
        layout: analysis.layout.clone(),
        requests: model.map(StateModel::requests),
        aside,
    };
    let items = making.start(sources, interrupt)?;
    let engine = Engine {
        pool: analysis.pool(),
        files: opened,
        observer,
        interrupt,
    };
    let (summary, counts) = engine.run(task, items)?;
    Ok(EntropySummary {
        records: summary.records,
        written: counts.written,
        orfs: counts.orfs,
        residues: summary.residues,
        in_genbank: counts.in_genbank,
        failed: summary.failed,
        resumed: summary.resumed,
        tokens: summary.tokens,
        run: summary.run,
        busy: summary.busy,
        ..EntropySummary::default()
    })
}

fn threads(analysis: &Analysis) -> NonZeroUsize {
    let asked = analysis.options.pool.threads.and_then(NonZeroUsize::new);
    asked
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}
