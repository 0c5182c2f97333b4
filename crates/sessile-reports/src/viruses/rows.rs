//! The frames of a run as its result files have them, one by one.
//!
//! The table of frames says where each chunk lies; the original's own file and tables of scores
//! that were made of features do not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sessile_seq::text::Text;

use sessile_pipelines::viral::results::{
    CONTIG_LENGTH, ChunkPlace, END, FRAME_RESULTS, FRAME_TABLE, START,
};

/// No identifier and its scores make a longer line.
const MAX_LINE_BYTES: u64 = 2 << 20;

/// A frame.
pub(super) struct Row<'a> {
    pub(super) id: &'a str,
    pub(super) virus: f32,
    pub(super) is_virus: bool,
    pub(super) place: Option<ChunkPlace>,
}

/// The file of a folder of results, or beside one of its files, that says most of the frames.
pub(super) fn file(results: &Path) -> PathBuf {
    let folder = match results.file_name() {
        _ if results.is_dir() => results,
        Some(name) if name == FRAME_RESULTS => results.parent().unwrap_or(Path::new("")),
        _ => return results.to_owned(),
    };
    let tables = ["tsv", "csv", "parquet"].map(|name| folder.join(format!("{FRAME_TABLE}.{name}")));
    let there = tables.into_iter().find(|table| table.exists());
    there.unwrap_or_else(|| folder.join(FRAME_RESULTS))
}

/// Hands over every frame of a file; what is wrong with the file is the error.
pub(super) fn read(path: &Path, on: &mut dyn FnMut(Row<'_>)) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    if path.extension().is_some_and(|ending| ending == "parquet") {
        return read_parquet(file, on).map_err(|error| error.to_string());
    }
    let delimiter = match path.extension() {
        Some(ending) if ending == "csv" => ',',
        _ => '\t',
    };
    read_text(BufReader::new(Text::new(file)), delimiter, on)
}

/// Where the fields of a row are.
struct Fields {
    id: usize,
    prediction: usize,
    virus: usize,
    place: Option<[usize; 3]>,
}

impl Fields {
    /// By the first line of a file: the original's has no other columns than these.
    fn of(header: &[&str]) -> Option<Self> {
        let find = |name: &str| header.iter().position(|column| *column == name);
        if header.first() == Some(&"Sequence_ID") {
            return Some(Fields {
                id: 0,
                prediction: 1,
                virus: 3,
                place: None,
            });
        }
        let place = [START, END, CONTIG_LENGTH].map(find);
        Some(Fields {
            id: find("sequence_id")?,
            prediction: find("prediction")?,
            virus: find("score_virus")?,
            place: match place {
                [Some(start), Some(end), Some(length)] => Some([start, end, length]),
                _ => None,
            },
        })
    }

    fn row<'a>(&self, fields: &[&'a str]) -> Option<Row<'a>> {
        let place = match self.place {
            // Empty where it is not known.
            Some(columns) if !fields.get(columns[0])?.is_empty() => {
                let number = |place: usize| fields.get(columns[place])?.parse().ok();
                Some(ChunkPlace {
                    start: number(0)?,
                    end: number(1)?,
                    contig_length: number(2)?,
                })
            }
            _ => None,
        };
        Some(Row {
            id: fields.get(self.id)?,
            virus: fields.get(self.virus)?.parse().ok()?,
            is_virus: *fields.get(self.prediction)? == "virus",
            place,
        })
    }
}

/// The fields of a line; those of tables are quoted where they must be.
fn fields(line: &str, delimiter: char) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter as u8)
        .has_headers(false)
        .from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    match line.contains('"') && matches!(reader.read_record(&mut record), Ok(true)) {
        true => record.iter().map(str::to_owned).collect(),
        false => line.split(delimiter).map(str::to_owned).collect(),
    }
}

fn read_text(
    mut lines: impl BufRead,
    delimiter: char,
    on: &mut dyn FnMut(Row<'_>),
) -> Result<(), String> {
    let mut known = None;
    let mut line = String::new();
    for number in 1_u64.. {
        line.clear();
        let read = Read::take(&mut lines, MAX_LINE_BYTES).read_line(&mut line);
        if read.map_err(|error| error.to_string())? == 0 {
            break;
        }
        let fields = fields(line.trim_end_matches('\n'), delimiter);
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let columns = match &known {
            Some(columns) => columns,
            None => {
                known = Fields::of(&fields);
                if known.is_none() {
                    return Err(format!(
                        "line {number} does not name the columns of results"
                    ));
                }
                continue;
            }
        };
        match columns.row(&fields) {
            Some(row) => on(row),
            None => return Err(format!("line {number} is no row of results")),
        }
    }
    Ok(())
}

fn read_parquet(file: File, on: &mut dyn FnMut(Row<'_>)) -> Result<(), Box<dyn std::error::Error>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    for batch in builder.build()? {
        rows_of(&batch?, on).ok_or("it lacks a column of the table of frames")?;
    }
    Ok(())
}

fn rows_of(batch: &RecordBatch, on: &mut dyn FnMut(Row<'_>)) -> Option<()> {
    let text = |name| batch.column_by_name(name)?.as_string_opt::<i32>();
    let (ids, predictions) = (text("sequence_id")?, text("prediction")?);
    let scores = (batch.column_by_name("score_virus")?).as_primitive_opt::<Float32Type>()?;
    for row in 0..batch.num_rows() {
        let number = |name| {
            let column = batch.column_by_name(name)?;
            if column.is_null(row) {
                return None;
            }
            match column.as_primitive_opt::<Int64Type>() {
                Some(numbers) => u64::try_from(numbers.value(row)).ok(),
                // Tables of earlier versions.
                None => Some(column.as_primitive_opt::<UInt64Type>()?.value(row)),
            }
        };
        let place = match [START, END, CONTIG_LENGTH].map(number) {
            [Some(start), Some(end), Some(contig_length)] => Some(ChunkPlace {
                start,
                end,
                contig_length,
            }),
            _ => None,
        };
        on(Row {
            id: ids.value(row),
            virus: scores.value(row),
            is_virus: predictions.value(row) == "virus",
            place,
        });
    }
    Some(())
}
