//! Virus prediction over files.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use pyo3::prelude::*;
use sessile::{PoolOptions, Sessile, Watch};

use crate::errors::{raised, unknown};
use crate::waiting::wait;

/// Chunks that are viruses, chunks, frames, contigs, records that failed.
type Counts = (u64, u64, u64, u64, u64);

/// Predicts the contigs of FASTA files into a folder.
#[pyfunction]
#[pyo3(signature = (inputs, output, classifier, dnabert, esm, chunk, esm_layer, force, devices, dtype, progress))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn viral(
    py: Python<'_>,
    inputs: Vec<PathBuf>,
    output: PathBuf,
    classifier: PathBuf,
    dnabert: String,
    esm: String,
    chunk: NonZeroUsize,
    esm_layer: Option<usize>,
    force: bool,
    devices: &str,
    dtype: &str,
    progress: Option<Py<PyAny>>,
) -> PyResult<Counts> {
    let pool = PoolOptions {
        devices: devices.parse().map_err(unknown)?,
        dtype: dtype.parse().map_err(unknown)?,
        ..PoolOptions::default()
    };
    let mut builder = Sessile::viral(classifier)
        .dnabert(dnabert)
        .esm(esm)
        .chunk(chunk)
        .force(force)
        .pool(pool);
    if let Some(layer) = esm_layer {
        builder = builder.esm_layer(layer);
    }
    let watch = Watch::default();
    let work = || builder.open()?.predict(&inputs, &output, &watch);
    let found = wait(py, &watch, progress.as_ref(), work)?;
    let found = found.map_err(|error| raised(py, &error))?;
    let counts = &found.counts;
    Ok((
        counts.virus_chunks,
        counts.chunks,
        counts.frames,
        counts.contigs,
        found.summary.failed,
    ))
}
