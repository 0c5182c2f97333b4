//! Which contigs are viruses: two language models and a classifier, resident together.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use sessile_pipelines::output::Format;
use sessile_pipelines::viral::predict::{
    self, PredictOptions, Predicted, Predictor, Sample, Shard,
};
use sessile_runtime::PoolOptions;

use crate::error::Error;
use crate::open::{Sessile, open_reader};
use crate::watch::Watch;

/// Bases of a chunk unless chosen.
const CHUNK: NonZeroUsize = NonZeroUsize::new(500).unwrap();

/// The models of a virus prediction, loaded once; see [`Sessile::viral`].
pub struct Viral {
    predictor: Predictor,
}

/// Choices about a virus prediction; see [`Sessile::viral`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ViralBuilder {
    dnabert: String,
    esm: String,
    options: PredictOptions,
}

impl Sessile {
    /// Finds viruses as VirNucPro does, with the classifier in a file.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::num::NonZeroUsize;
    /// use sessile::{Sessile, Watch};
    ///
    /// # let golden = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden"));
    /// # let [dnabert, esm] = ["dnabert_s/tiny_a", "esm2/tiny_a"].map(|name| golden.join(name).display().to_string());
    /// # let contigs = golden.join("virnucpro/input300.fa");
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let results = folder.path().join("results");
    /// let viral = Sessile::viral(golden.join("virnucpro/mlp/model.pth"))
    ///     .dnabert(dnabert)
    ///     .esm(esm)
    ///     .chunk(NonZeroUsize::new(300).unwrap())
    ///     .open()?;
    /// let found = viral.predict(&[contigs], &results, &Watch::default())?;
    /// assert!(found.counts.chunks > 0);
    /// assert!(results.join("contigs.tsv").exists());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn viral(classifier: impl Into<PathBuf>) -> ViralBuilder {
        ViralBuilder {
            dnabert: "zhihan1996/DNABERT-S".to_owned(),
            esm: "esm2_t36_3B".to_owned(),
            options: PredictOptions {
                chunk: CHUNK,
                classifier: classifier.into(),
                esm_layer: None,
                shard: Shard::default(),
                save_features: false,
                tables: Format::TSV,
                force: false,
                journal: true,
                resume: Default::default(),
                pool: PoolOptions::default(),
            },
        }
    }
}

impl ViralBuilder {
    /// The model of nucleotides; DNABERT-S unless chosen.
    pub fn dnabert(mut self, name: impl Into<String>) -> Self {
        self.dnabert = name.into();
        self
    }

    /// The model of proteins; ESM-2 with 3 billion parameters unless chosen.
    pub fn esm(mut self, name: impl Into<String>) -> Self {
        self.esm = name.into();
        self
    }

    /// The layer of the protein model whose vectors are taken; the last unless chosen.
    pub fn esm_layer(mut self, layer: usize) -> Self {
        self.options.esm_layer = Some(layer);
        self
    }

    /// Bases of a chunk: what the classifier was trained with; 500 unless chosen.
    pub fn chunk(mut self, bases: NonZeroUsize) -> Self {
        self.options.chunk = bases;
        self
    }

    /// Whether results that exist are written over.
    pub fn force(mut self, force: bool) -> Self {
        self.options.force = force;
        self
    }

    /// Devices, number format, lanes and memory.
    pub fn pool(mut self, pool: PoolOptions) -> Self {
        self.options.pool = pool;
        self
    }

    /// Plans the memory of both models and loads them.
    ///
    /// # Errors
    ///
    /// When a model cannot be found or is not of its kind, when the classifier was trained with
    /// others, and when they do not fit the devices.
    pub fn open(self) -> Result<Viral, Error> {
        // The classifier is the quickest to be wrong.
        predict::check(&self.options, &[])?;
        let dnabert = open_reader(&self.dnabert, &mut |_| {})?;
        let esm = open_reader(&self.esm, &mut |_| {})?;
        let predictor = Predictor::load(dnabert, esm, self.options)?;
        Ok(Viral { predictor })
    }
}

impl Viral {
    /// Predicts the contigs of FASTA files into a folder: a score for each frame, a verdict for
    /// each chunk and contig. A run that was stopped resumes.
    ///
    /// # Errors
    ///
    /// When an input cannot be read, the folder holds results already or cannot be written, no
    /// device is left, or the call is stopped. Records that fail are counted in the summary and
    /// listed in the folder.
    pub fn predict(
        &self,
        inputs: &[PathBuf],
        folder: &Path,
        watch: &Watch,
    ) -> Result<Predicted, Error> {
        let name = folder.file_name().unwrap_or_default();
        let sample = Sample {
            name: name.to_string_lossy().into_owned(),
            inputs: inputs.to_vec(),
            output: folder.to_owned(),
            failures: None,
        };
        let predicted = self
            .predictor
            .run(&sample, &mut watch.observer(), watch.interrupt())?;
        Ok(predicted)
    }
}
