//! The original's two halves of a feature file, joined by the names of the frames.

use std::collections::HashMap;
use std::path::Path;

use sessile_models::ModelError;
use sessile_models::checkpoint::TorchFile;
use sessile_models::checkpoint::pickle::Value;

use super::{Data, Features, Kind, check_count, names, wrong};

/// Joins both halves in the order of the nucleotides. A name that comes twice means its last
/// vector, as in the original.
pub(super) fn join(nucleotide: &Path, protein: &Path) -> Result<Features, ModelError> {
    for path in [nucleotide, protein] {
        if !matches!(Kind::of(path)?, Kind::Torch) {
            let what = "only the .pt files of VirNucPro come in two halves";
            return Err(wrong(&path.display().to_string(), what)
                .with_hint("give a file of whole vectors with --features"));
        }
    }
    let (names, nucleotides) = read_nucleotide(nucleotide)?;
    let (protein_names, proteins) = read_protein(protein)?;
    let last = |names: &[String]| -> HashMap<String, usize> {
        let places = names.iter().enumerate();
        places.map(|(place, name)| (name.clone(), place)).collect()
    };
    let (nucleotide_places, mut protein_places) = (last(&names), last(&protein_names));
    let width = nucleotides.width + proteins.width;
    let (mut ids, mut incomplete, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for name in &names {
        match protein_places.get(name) {
            Some(&place) => {
                data.extend_from_slice(nucleotides.row(nucleotide_places[name]));
                data.extend_from_slice(proteins.row(place));
                ids.push(name.clone());
            }
            None => incomplete.push(name.clone()),
        }
    }
    protein_places.retain(|name, _| !nucleotide_places.contains_key(name));
    let mut unmatched: Vec<String> = protein_places.into_keys().collect();
    unmatched.sort_unstable();
    incomplete.extend(unmatched);
    Ok(Features {
        name: nucleotide.display().to_string(),
        ids,
        width,
        nucleotide: Some(nucleotides.width),
        protein: Some(proteins.width),
        chunk: None,
        is_virus: None,
        incomplete,
        data: Data::Memory(data),
    })
}

struct Matrix {
    width: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn row(&self, place: usize) -> &[f32] {
        &self.values[place * self.width..(place + 1) * self.width]
    }

    fn push(
        &mut self,
        name: &str,
        row: impl ExactSizeIterator<Item = f32>,
    ) -> Result<(), ModelError> {
        if self.values.is_empty() {
            self.width = row.len();
        }
        if row.len() != self.width || row.len() == 0 {
            let what = format!("a vector has {} numbers, another {}", row.len(), self.width);
            return Err(wrong(name, &what));
        }
        self.values.extend(row);
        Ok(())
    }
}

const EMPTY: Matrix = Matrix {
    width: 0,
    values: Vec::new(),
};

/// `{'nucleotide': [name…], 'data': [{'label': name, 'mean_representation': [float…]}…]}`
fn read_nucleotide(path: &Path) -> Result<(Vec<String>, Matrix), ModelError> {
    let name = path.display().to_string();
    let file = TorchFile::open(path)?;
    let ids = names(&file, "nucleotide", &name)?;
    let rows = list(&file, &name)?;
    check_count(&name, ids.len(), rows.len())?;
    let mut matrix = EMPTY;
    for (id, row) in ids.iter().zip(rows) {
        let numbers = row.get("mean_representation").and_then(Value::as_list);
        let Some(numbers) = numbers else {
            return Err(wrong(&name, "an entry has no `mean_representation`"));
        };
        if row.get("label").and_then(Value::as_str) != Some(id) {
            return Err(wrong(&name, "the labels are not those of `nucleotide`"));
        }
        if numbers.iter().any(|number| number.as_float().is_none()) {
            return Err(wrong(&name, "a `mean_representation` holds no numbers"));
        }
        let numbers = numbers.iter().filter_map(Value::as_float);
        let numbers: Vec<f32> = numbers.map(|number| number as f32).collect();
        matrix.push(&name, numbers.into_iter())?;
    }
    Ok((ids, matrix))
}

/// `{'proteins': [name…], 'data': [tensor…]}`
fn read_protein(path: &Path) -> Result<(Vec<String>, Matrix), ModelError> {
    let name = path.display().to_string();
    let file = TorchFile::open(path)?;
    let ids = names(&file, "proteins", &name)?;
    let rows = list(&file, &name)?;
    check_count(&name, ids.len(), rows.len())?;
    let mut matrix = EMPTY;
    for row in rows {
        let Some(tensor) = row.as_tensor() else {
            return Err(wrong(&name, "`data` holds something that is no tensor"));
        };
        matrix.push(&name, file.read(tensor)?.data.into_iter())?;
    }
    Ok((ids, matrix))
}

fn list<'a>(file: &'a TorchFile, name: &str) -> Result<&'a [Value], ModelError> {
    let rows = file.value().get("data").and_then(Value::as_list);
    rows.ok_or_else(|| wrong(name, "`data` is no list"))
}
