//! Vectors in files, as the original keeps them.

use std::io;
use std::path::{Path, PathBuf};

use super::super::features::{FeatureRows, write_merged, write_nucleotide, write_protein};
use super::super::results::TEMPORARY;
use crate::output::WholeFile;

/// Frames in a file of saved vectors, as in the original.
const SAVED_FRAMES: usize = 10_000;

/// The folder of the saved vectors in that of the results.
const SAVED_FOLDER: &str = "features";

/// The files of saved vectors that are there.
pub(super) fn files(results: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(results.join(SAVED_FOLDER));
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Vectors in the original's three files, so many frames in each.
pub(super) struct Saver {
    folder: PathBuf,
    sizes: [usize; 2],
    files: usize,
    ids: Vec<String>,
    vectors: Vec<f32>,
}

impl Saver {
    pub(super) fn create(results: &Path, sizes: [usize; 2]) -> io::Result<Self> {
        let folder = results.join(SAVED_FOLDER);
        std::fs::create_dir_all(&folder)?;
        Ok(Saver {
            folder,
            sizes,
            files: 0,
            ids: Vec::new(),
            vectors: Vec::new(),
        })
    }

    pub(super) fn push(&mut self, id: &str, vectors: &[f32]) -> io::Result<()> {
        self.ids.push(id.to_owned());
        self.vectors.extend_from_slice(vectors);
        if self.ids.len() == SAVED_FRAMES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.files += 1;
        let [first, second] = self.sizes;
        let (mut nucleotide, mut protein) = (Vec::new(), Vec::new());
        for row in self.vectors.chunks_exact(first + second) {
            nucleotide.extend_from_slice(&row[..first]);
            protein.extend_from_slice(&row[first..]);
        }
        let rows = |data, width| FeatureRows {
            ids: &self.ids,
            data,
            width,
        };
        let open = |kind: &str| {
            let name = format!("output_{}_{kind}", self.files);
            let file =
                WholeFile::create_locked(&self.folder.join(format!("{name}.pt")), TEMPORARY)?;
            Ok::<_, io::Error>((file, name))
        };
        let (file, name) = open("DNABERT_S")?;
        write_nucleotide(file, &name, rows(&nucleotide, first))?.finish()?;
        let (file, name) = open("ESM")?;
        write_protein(file, &name, rows(&protein, second))?.finish()?;
        let (file, name) = open("merged")?;
        write_merged(file, &name, rows(&self.vectors, first + second), None)?.finish()?;
        self.ids.clear();
        self.vectors.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        self.write()
    }
}
