//! A resident model.

use std::path::PathBuf;

use numpy::ndarray::{ArrayD, IxDyn};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayDyn, PyArrayMethods};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use sessile::{
    Builder, Download, Embed, Embeddings, HostTensor, Pooling, Sessile, SettingsOverrides, Watch,
};

use crate::errors::{raised, unknown};
use crate::waiting::{Stop, wait, wait_apart, watch};

/// A model on its devices, for the process that loaded it.
#[pyclass(frozen, weakref, module = "sessile._native")]
pub(crate) struct Model {
    process: u32,
    model: Option<Sessile>,
}

impl Drop for Model {
    /// A process that was forked has none of the threads that dropping a pool waits for.
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.model.take());
        }
    }
}

/// Vectors `[rows, dimension]`, where the rows of each result begin (one more than there are
/// results), places of the results' sequences, failures as (place, reason).
type Embedded<'py> = (
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
    Vec<(usize, String)>,
);

/// States, probabilities, states of the second alphabet and their probabilities.
type States<'py> = (
    String,
    Bound<'py, PyArray1<f32>>,
    Option<(String, Bound<'py, PyArray1<f32>>)>,
);

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (name, *, devices, dtype, threads, instances, token_budget, max_tokens, memory_reserve, head, generation, progress))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        name: String,
        devices: &str,
        dtype: &str,
        threads: Option<usize>,
        instances: Option<usize>,
        token_budget: Option<usize>,
        max_tokens: Option<usize>,
        memory_reserve: u64,
        head: Option<PathBuf>,
        generation: Option<Generation>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let mut builder = Sessile::builder(name)
            .devices(devices.parse().map_err(unknown)?)
            .dtype(dtype.parse().map_err(unknown)?)
            .memory_reserve(memory_reserve);
        let set = |builder: Builder, value, to: fn(Builder, usize) -> Builder| match value {
            Some(value) => to(builder, value),
            None => builder,
        };
        builder = set(builder, threads, Builder::threads);
        builder = set(builder, instances, Builder::instances);
        builder = set(builder, token_budget, Builder::token_budget);
        builder = set(builder, max_tokens, Builder::max_tokens);
        if let Some(head) = head {
            builder = builder.head(head);
        }
        if let Some(generation) = generation {
            builder = builder.generation(generation.into());
        }
        // What is fetched is told as (file, bytes done, bytes in all).
        let mut download = move |news: Download<'_>| {
            if let (Some(told), Download::Advanced { file, done, total }) = (&progress, news) {
                // A message that fails is no reason to stop a fetch.
                let _ = Python::attach(|py| told.call1(py, (file, done, total)));
            }
        };
        let model = wait_apart(py, move || builder.open_watched(&mut download))?;
        Ok(Model {
            process: std::process::id(),
            model: Some(model.map_err(|error| raised(py, &error))?),
        })
    }

    /// What it is; sizes are missing of a model that writes.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, pyo3::types::PyDict>> {
        let model = self.resident()?;
        let info = pyo3::types::PyDict::new(py);
        info.set_item("name", model.name())?;
        info.set_item("dtype", model.dtype().to_string())?;
        info.set_item("devices", model.pool().devices())?;
        info.set_item("kernels", model.pool().kernel_families())?;
        info.set_item("model_loads", model.pool().metrics().model_loads.get())?;
        if let Some(sizes) = model.info() {
            info.set_item("architecture", sizes.architecture)?;
            info.set_item("layers", sizes.layers)?;
            info.set_item("dimension", sizes.hidden)?;
            info.set_item("vocabulary", sizes.vocabulary)?;
            info.set_item("parameters", sizes.parameters)?;
            info.set_item("max_tokens", sizes.max_tokens)?;
            info.set_item("special_tokens", sizes.special_tokens)?;
        }
        Ok(info)
    }

    #[pyo3(signature = (sequences, *, pooling, layer, long, skip, stop, progress))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn embed<'py>(
        &self,
        py: Python<'py>,
        sequences: Vec<PyBackedStr>,
        pooling: &str,
        layer: Option<usize>,
        long: &str,
        skip: bool,
        stop: Option<&Bound<'py, Stop>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Embedded<'py>> {
        let model = self.resident()?;
        let settings = Embed {
            pooling: pooling.parse::<Pooling>().map_err(unknown)?,
            layer,
            long: long.parse().map_err(unknown)?,
            keep_going: skip,
        };
        let watch = watch(stop);
        let work = || {
            let sequences: Vec<&[u8]> = sequences.iter().map(|text| text.as_bytes()).collect();
            model.embed_with(&sequences, &settings, &watch)
        };
        let found = wait(py, &watch, progress.as_ref(), work)?;
        embedded(py, found.map_err(|error| raised(py, &error))?)
    }

    fn logits<'py>(
        &self,
        py: Python<'py>,
        sequence: &str,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        self.tensor(py, None, |model, watch| model.logits(sequence, watch))
    }

    fn contacts<'py>(
        &self,
        py: Python<'py>,
        sequence: &str,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        self.tensor(py, None, |model, watch| model.contacts(sequence, watch))
    }

    /// Log-probability of each residue, their sum, pseudo-perplexity.
    fn score<'py>(
        &self,
        py: Python<'py>,
        sequence: &str,
        method: &str,
    ) -> PyResult<(Bound<'py, PyArray1<f32>>, f64, f64)> {
        let model = self.resident()?;
        let method = method.parse().map_err(unknown)?;
        let watch = Watch::default();
        let score = wait(py, &watch, None, || model.score(sequence, method, &watch))?;
        let score = score.map_err(|error| raised(py, &error))?;
        let values = score.log_probabilities.into_pyarray(py);
        Ok((values, score.log_likelihood, score.pseudo_perplexity))
    }

    fn mutational_scan<'py>(
        &self,
        py: Python<'py>,
        sequence: &str,
        method: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let method = method.parse().map_err(unknown)?;
        self.tensor(py, progress, |model, watch| {
            model.mutational_scan(sequence, method, watch)
        })
    }

    fn states<'py>(
        &self,
        py: Python<'py>,
        proteins: Vec<PyBackedStr>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<States<'py>>> {
        let model = self.resident()?;
        let watch = Watch::default();
        let work = || {
            let proteins: Vec<&[u8]> = proteins.iter().map(|text| text.as_bytes()).collect();
            model.states(&proteins, &watch)
        };
        let found = wait(py, &watch, progress.as_ref(), work)?;
        let found = found.map_err(|error| raised(py, &error))?;
        let states = found.into_iter().map(|states| {
            let second = states
                .twelve_state
                .map(|second| (second.states, second.probabilities.into_pyarray(py)));
            let first = states.three_di;
            (first.states, first.probabilities.into_pyarray(py), second)
        });
        Ok(states.collect())
    }

    fn summarize(
        &self,
        py: Python<'_>,
        articles: Vec<PyBackedStr>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<String>> {
        let model = self.resident()?;
        let watch = Watch::default();
        let work = || {
            let articles: Vec<&str> = articles.iter().map(AsRef::as_ref).collect();
            model.summarize(&articles, &watch)
        };
        let written = wait(py, &watch, progress.as_ref(), work)?;
        let written = written.map_err(|error| raised(py, &error))?;
        Ok(written.into_iter().map(|written| written.text).collect())
    }
}

impl Model {
    /// The model, unless this is another process than loaded it.
    fn resident(&self) -> PyResult<&Sessile> {
        let process = std::process::id();
        match &self.model {
            Some(model) if self.process == process => Ok(model),
            _ => Err(PyRuntimeError::new_err(format!(
                "the model was loaded in process {} and this is process {process}, a fork of it: \
                 threads and GPUs do not survive a fork\n\
                 hint: start processes with multiprocessing.get_context(\"spawn\"); a model that \
                 is sent to them is loaded there once",
                self.process
            ))),
        }
    }

    /// One tensor of one sequence, over the buffer that it was computed into.
    fn tensor<'py>(
        &self,
        py: Python<'py>,
        progress: Option<Py<PyAny>>,
        ask: impl FnOnce(&Sessile, &Watch) -> Result<HostTensor, sessile::Error> + Send,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let model = self.resident()?;
        let watch = Watch::default();
        let tensor = wait(py, &watch, progress.as_ref(), || ask(model, &watch))?;
        let HostTensor { shape, data } = tensor.map_err(|error| raised(py, &error))?;
        let array = ArrayD::from_shape_vec(IxDyn(&shape), data)
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(array.into_pyarray(py))
    }
}

fn embedded(py: Python<'_>, found: Embeddings) -> PyResult<Embedded<'_>> {
    let dimension = found.dimension();
    let mut starts = vec![0_i64];
    starts.extend(found.rows().iter().map(|rows| rows.end as i64));
    let sequences: Vec<i64> = (found.sequences().iter())
        .map(|&place| place as i64)
        .collect();
    let failures = (found.failures().iter())
        .map(|failure| (failure.record, failure.reason.clone()))
        .collect();
    let values = found.into_values();
    let rows = values.len() / dimension.max(1);
    let values = values.into_pyarray(py).reshape([rows, dimension])?;
    Ok((
        values,
        starts.into_pyarray(py),
        sequences.into_pyarray(py),
        failures,
    ))
}

/// How a model writes, where it differs from its own settings.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Generation {
    num_beams: Option<usize>,
    length_penalty: Option<f32>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    no_repeat_ngram_size: Option<usize>,
    do_sample: Option<bool>,
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    seed: Option<u64>,
}

impl From<Generation> for SettingsOverrides {
    fn from(chosen: Generation) -> Self {
        SettingsOverrides {
            num_beams: chosen.num_beams,
            length_penalty: chosen.length_penalty,
            min_length: chosen.min_length,
            max_length: chosen.max_length,
            no_repeat_ngram_size: chosen.no_repeat_ngram_size,
            do_sample: chosen.do_sample,
            temperature: chosen.temperature,
            top_k: chosen.top_k,
            top_p: chosen.top_p,
            seed: chosen.seed,
            ..SettingsOverrides::default()
        }
    }
}
