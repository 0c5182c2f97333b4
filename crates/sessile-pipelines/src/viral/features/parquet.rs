//! Features in Parquet: a column `id` of names and one column of vectors, or two, `nucleotide` and
//! `protein`, that are joined. Held in memory: Parquet has no rows to be read one by one.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sessile_models::{ModelError, ModelErrorKind};

use super::{Data, Features, wrong};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 1024;

/// The halves, in their order.
const HALVES: [&str; 2] = ["nucleotide", "protein"];

pub(super) fn from_parquet(path: &Path) -> Result<Features, ModelError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ModelErrorKind::NotFound,
            _ => ModelErrorKind::Unreadable,
        };
        ModelError::new(kind, format!("{name}: {error}"))
    })?;
    let malformed = |error: String| wrong(&name, &error);
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|error| malformed(error.to_string()))?;
    let columns = Columns::of(builder.schema()).map_err(|error| malformed(error.to_owned()))?;
    let reader = builder
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|error| malformed(error.to_string()))?;
    let (mut ids, mut data) = (Vec::new(), Vec::new());
    let mut widths = vec![None; columns.vectors.len()];
    for batch in reader {
        let batch = batch.map_err(|error| malformed(error.to_string()))?;
        let taken = columns.take(&batch, &mut ids, &mut data, &mut widths);
        taken.map_err(|error| malformed(error.to_owned()))?;
    }
    let widths: Vec<usize> = widths.into_iter().map(|width| width.unwrap_or(0)).collect();
    let half = |place: usize| (widths.len() == HALVES.len()).then(|| widths[place]);
    Ok(Features {
        ids,
        width: widths.iter().sum(),
        nucleotide: half(0),
        protein: half(1),
        chunk: None,
        is_virus: None,
        incomplete: Vec::new(),
        data: Data::Memory(data),
        name,
    })
}

/// Where names and vectors are.
struct Columns {
    id: usize,
    vectors: Vec<usize>,
}

impl Columns {
    fn of(schema: &arrow_schema::Schema) -> Result<Self, &'static str> {
        let place = |name: &str| schema.index_of(name).ok();
        let Some(id) = ["id", "ids", "sequence_id"].into_iter().find_map(place) else {
            return Err("there is no column `id`");
        };
        let is_vector = |kind: &DataType| match kind {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                item.data_type() == &DataType::Float32
            }
            _ => false,
        };
        if let [Some(nucleotide), Some(protein)] = HALVES.map(place) {
            return Ok(Columns {
                id,
                vectors: vec![nucleotide, protein],
            });
        }
        let vectors: Vec<usize> = (schema.fields().iter().enumerate())
            .filter(|(_, field)| is_vector(field.data_type()))
            .map(|(place, _)| place)
            .collect();
        match vectors.len() {
            1 => Ok(Columns { id, vectors }),
            0 => Err("there is no column of vectors (lists of 32-bit floats)"),
            _ => Err("several columns hold vectors; name two of them `nucleotide` and `protein`"),
        }
    }

    fn take(
        &self,
        batch: &RecordBatch,
        ids: &mut Vec<String>,
        data: &mut Vec<f32>,
        widths: &mut [Option<usize>],
    ) -> Result<(), &'static str> {
        let names = batch.column(self.id);
        let Some(names) = names.as_string_opt::<i32>() else {
            return Err("the column `id` holds no text");
        };
        for row in 0..batch.num_rows() {
            if names.is_null(row) {
                return Err("a row has no `id`");
            }
            ids.push(names.value(row).to_owned());
            for (&place, width) in self.vectors.iter().zip(&mut *widths) {
                let vector = vector(batch.column(place), row).ok_or("a row has no vector")?;
                let Some(numbers) = vector.as_primitive_opt::<Float32Type>() else {
                    return Err("a vector does not hold 32-bit floats");
                };
                if numbers.null_count() > 0 {
                    return Err("a vector has a number missing");
                }
                if *width.get_or_insert(numbers.len()) != numbers.len() {
                    return Err("vectors of one column have different lengths");
                }
                data.extend_from_slice(numbers.values());
            }
        }
        Ok(())
    }
}

fn vector(column: &ArrayRef, row: usize) -> Option<ArrayRef> {
    if column.is_null(row) {
        return None;
    }
    if let Some(lists) = column.as_fixed_size_list_opt() {
        return Some(lists.value(row));
    }
    if let Some(lists) = column.as_list_opt::<i32>() {
        return Some(lists.value(row));
    }
    column.as_list_opt::<i64>().map(|lists| lists.value(row))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::{FixedSizeListBuilder, Float32Builder, ListBuilder};
    use arrow_array::{Float32Array, StringArray};
    use parquet::arrow::ArrowWriter;

    use super::super::FeatureSource;
    use super::*;

    fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    fn fixed(rows: &[[f32; 2]]) -> ArrayRef {
        let mut builder = FixedSizeListBuilder::new(Float32Builder::new(), 2);
        for row in rows {
            builder.values().append_slice(row);
            builder.append(true);
        }
        Arc::new(builder.finish())
    }

    fn lists(rows: &[&[f32]]) -> ArrayRef {
        let mut builder = ListBuilder::new(Float32Builder::new());
        for row in rows {
            builder.values().append_slice(row);
            builder.append(true);
        }
        Arc::new(builder.finish())
    }

    #[test]
    fn vectors_of_one_column_or_of_both_halves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.parquet");
        let ids: ArrayRef = Arc::new(StringArray::from(vec!["aF1", "bF2"]));
        let open = || Features::open(&FeatureSource::Merged(path.clone()));
        write(
            &path,
            vec![
                ("id", ids.clone()),
                ("mean", fixed(&[[1.0, 2.0], [3.0, 4.0]])),
            ],
        );
        let features = open().unwrap();
        assert_eq!(
            (features.ids(), features.width()),
            (&["aF1".to_owned(), "bF2".to_owned()][..], 2)
        );
        let mut row = [0.0; 2];
        features.read(1, &mut row).unwrap();
        assert_eq!(row, [3.0, 4.0]);

        let halves = vec![
            ("protein", lists(&[&[5.0], &[6.0]])),
            ("id", ids.clone()),
            ("nucleotide", fixed(&[[1.0, 2.0], [3.0, 4.0]])),
        ];
        write(&path, halves);
        let features = open().unwrap();
        assert_eq!(
            (features.nucleotide(), features.protein()),
            (Some(2), Some(1))
        );
        let mut row = [0.0; 3];
        features.read(0, &mut row).unwrap();
        assert_eq!(row, [1.0, 2.0, 5.0]);

        let number: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0]));
        for (columns, words) in [
            (
                vec![("id", ids.clone()), ("x", number)],
                "no column of vectors",
            ),
            (vec![("x", fixed(&[[1.0, 2.0]]))], "no column `id`"),
            (
                vec![("id", ids.clone()), ("x", lists(&[&[1.0], &[1.0, 2.0]]))],
                "different lengths",
            ),
        ] {
            write(&path, columns);
            let error = open().map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        std::fs::write(&path, "text").unwrap();
        assert!(open().is_err());
    }
}
