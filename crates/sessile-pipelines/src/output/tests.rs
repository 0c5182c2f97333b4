//! Every format takes the same rows and gives the same bytes for them.

use std::fs;
use std::path::Path;

use sessile_device::HostTensor;

use super::*;

fn schema() -> Schema {
    let column = |name: &str, kind| Column::new(name, kind);
    Schema::new(vec![
        column("length", ColumnKind::Integer),
        column("truncated", ColumnKind::Flag),
        column("mean", ColumnKind::Tensor(vec![Some(3)])),
        column("per_residue", ColumnKind::Tensor(vec![None, Some(2)])),
        column("contacts", ColumnKind::Tensor(vec![None, None])),
        column(
            "likelihood",
            ColumnKind::Numbers(vec!["a".to_owned(), "b".to_owned()]),
        ),
        column("note", ColumnKind::Text),
        column("score", ColumnKind::Number),
    ])
}

fn row(number: usize) -> Row {
    let length = 1 + number % 4;
    let tensor = |shape: Vec<usize>| {
        let values = (0..shape.iter().product()).map(|value| (value * number) as f32 / 8.0);
        HostTensor::new(shape.clone(), values.collect())
    };
    Row {
        id: format!("id{}/é", number % 40),
        cells: vec![
            Cell::Integer(length as i64),
            Cell::Flag(number.is_multiple_of(3)),
            Cell::Tensor(tensor(vec![3])),
            Cell::Tensor(tensor(vec![length, 2])),
            Cell::Tensor(tensor(vec![length, length])),
            Cell::Numbers(vec![number as f64, -0.5]),
            Cell::Text(format!("n {number}")),
            Cell::Number(number as f64 / 3.0),
        ],
    }
}

fn write(format: Format, path: &Path, schema: &Schema, rows: &[Row]) -> Finished {
    let destination = Destination::open(path).unwrap();
    let mut writer = format.writer(destination, schema).unwrap();
    for row in rows {
        writer.write(row).unwrap();
    }
    assert!(!path.exists());
    writer.finish().unwrap()
}

/// Rows with all columns, and with those that NumPy's one array can have.
fn rows(format: Format, count: usize) -> (Schema, Vec<Row>) {
    let mut schema = schema();
    let mut rows: Vec<Row> = (0..count).map(row).collect();
    if format == Format::Npy {
        schema.columns.drain(3..6);
        for row in &mut rows {
            row.cells.drain(3..6);
        }
    }
    (schema, rows)
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let (schema, rows) = rows(format, 300);
        let path = |name: &str| directory.path().join(format!("{name}.{format}"));
        let finished = write(format, &path("one"), &schema, &rows);
        // Dates of files and zip entries count whole seconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        write(format, &path("two"), &schema, &rows);
        let one = fs::read(path("one")).unwrap();
        assert!(one == fs::read(path("two")).unwrap(), "{format}");
        assert!(!one.is_empty());
        let keyed = matches!(format, Format::Hdf5 | Format::Safetensors);
        assert_eq!(finished.renamed > 0, keyed, "{format}");
    }
    let left = fs::read_dir(directory.path()).unwrap();
    assert_eq!(left.count(), 2 * Format::ALL.len() + 2);
}

#[test]
fn no_rows_are_a_whole_file_too() {
    let directory = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let (schema, rows) = rows(format, 0);
        let path = directory.path().join(format!("none.{format}"));
        write(format, &path, &schema, &rows);
        assert!(path.exists(), "{format}");
    }
}

#[test]
fn cells_come_back_from_their_bytes() {
    let schema = schema();
    for number in [0, 1, 7] {
        let row = row(number);
        let bytes = row.to_bytes();
        let back = Row::from_bytes(row.id.clone(), &bytes, &schema);
        assert_eq!(back.as_ref(), Some(&row));
        for length in 0..bytes.len() {
            let cut = Row::from_bytes(row.id.clone(), &bytes[..length], &schema);
            assert_eq!(cut, None, "{length} bytes");
        }
    }
    // Dimensions whose product overflows are none.
    let mut bytes = vec![0; 9];
    bytes.extend_from_slice(&[0; 12]);
    let lying = Schema::new(vec![Column::new("x", ColumnKind::Tensor(vec![None, None]))]);
    assert_eq!(Row::from_bytes(String::new(), &[0xff; 16], &lying), None);
}

#[test]
fn formats_say_what_they_can_not_hold() {
    let plain = Schema::new(vec![Column::new("length", ColumnKind::Integer)]);
    let file = Path::new("file");
    for (format, schema, fits) in [
        (Format::Jsonl, &plain, true),
        (Format::Parquet, &plain, true),
        (Format::Npz, &plain, true),
        (Format::Hdf5, &plain, false),
        (Format::Safetensors, &plain, false),
        (Format::Npy, &plain, false),
        (Format::Npy, &schema(), false),
        (Format::Hdf5, &schema(), true),
    ] {
        assert_eq!(format.check(file, schema).is_ok(), fits, "{format}");
    }
    assert!(Format::Hdf5.check(Path::new("-"), &schema()).is_err());
}
