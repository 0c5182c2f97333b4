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
    let mut writer = format
        .writer(destination, Compression::None, schema)
        .unwrap();
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
    // One array; no tensors whose length differs.
    let left_out = match format.name() {
        "npy" => 3..6,
        "tsv" | "csv" => 3..5,
        _ => 0..0,
    };
    if format == Format::FASTA {
        let mut columns = schema.columns.iter_mut();
        let note = columns.find(|column| column.name == "note").unwrap();
        note.name = "three_di".to_owned();
    }
    schema.columns.drain(left_out.clone());
    for row in &mut rows {
        row.cells.drain(left_out.clone());
    }
    (schema, rows)
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    for format in Format::all() {
        let (schema, rows) = rows(format, 300);
        let path = |name: &str| directory.path().join(format!("{name}.{format}"));
        let finished = write(format, &path("one"), &schema, &rows);
        // Dates of files and zip entries count whole seconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        write(format, &path("two"), &schema, &rows);
        let one = fs::read(path("one")).unwrap();
        assert!(one == fs::read(path("two")).unwrap(), "{format}");
        assert!(!one.is_empty());
        let keyed = matches!(format.name(), "hdf5" | "safetensors");
        assert_eq!(finished.renamed > 0, keyed, "{format}");
    }
    let left = fs::read_dir(directory.path()).unwrap();
    assert_eq!(left.count(), 2 * Format::all().count() + 2);
}

#[test]
fn no_rows_are_a_whole_file_too() {
    let directory = tempfile::tempdir().unwrap();
    for format in Format::all() {
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
        let bytes = row.to_bytes(&schema);
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
    let of_text = Schema::new(vec![
        Column::new("fields", ColumnKind::Fields),
        Column::new("token_ids", ColumnKind::Integers).with_presence(Presence::Optional),
    ]);
    for (name, schema, fits) in [
        ("jsonl", &plain, true),
        ("json", &schema(), true),
        ("tsv", &plain, true),
        ("csv", &schema(), false),
        ("parquet", &plain, true),
        ("npz", &plain, true),
        ("hdf5", &plain, false),
        ("safetensors", &plain, false),
        ("npy", &plain, false),
        ("npy", &schema(), false),
        ("hdf5", &schema(), true),
        ("csv", &of_text, true),
        ("parquet", &of_text, true),
        ("npz", &of_text, false),
        ("safetensors", &of_text, false),
    ] {
        let format: Format = name.parse().unwrap();
        assert_eq!(format.check(file, schema).is_ok(), fits, "{name}");
    }
    let hdf5: Format = "hdf5".parse().unwrap();
    assert!(hdf5.check(Path::new("-"), &schema()).is_err());
}

/// Rows with what a text can have: fields of its input, and values that are missing.
fn texts() -> (Schema, Vec<Row>) {
    let optional = |name: &str, kind| Column::new(name, kind).with_presence(Presence::Optional);
    let schema = Schema::new(vec![
        Column::new("fields", ColumnKind::Fields),
        optional("summary", ColumnKind::Text),
        optional("token_ids", ColumnKind::Integers),
        Column::new("mean", ColumnKind::Number).with_presence(Presence::Nullable),
    ]);
    let fields = |id: &str| {
        vec![
            ("id".to_owned(), id.to_owned()),
            ("n".to_owned(), "[1,\"x\"]".to_owned()),
        ]
    };
    let rows = vec![
        Row {
            id: "a".to_owned(),
            cells: vec![
                Cell::Fields(fields("\"a\"")),
                Cell::Text("He said, \"no\".\nThen he left".to_owned()),
                Cell::Integers(vec![0, -3]),
                Cell::Number(0.5),
            ],
        },
        Row {
            id: "7".to_owned(),
            cells: vec![
                Cell::Fields(fields("7")),
                Cell::Missing,
                Cell::Missing,
                Cell::Missing,
            ],
        },
    ];
    (schema, rows)
}

#[test]
fn text_formats_write_these_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let (schema, rows) = texts();
    let lines = [
        r#"{"id":"a","n":[1,"x"],"summary":"He said, \"no\".\nThen he left","token_ids":[0,-3],"mean":0.5}"#,
        r#"{"id":7,"n":[1,"x"],"mean":null}"#,
    ];
    let object = |id: &str| format!("\"{{\"\"id\"\":{id},\"\"n\"\":[1,\"\"x\"\"]}}\"");
    let text = "\"He said, \"\"no\"\".\nThen he left\"";
    for (name, expected) in [
        ("jsonl", format!("{}\n{}\n", lines[0], lines[1])),
        ("json", format!("[\n{},\n{}\n]\n", lines[0], lines[1])),
        (
            "csv",
            format!(
                "id,fields,summary,token_ids,mean\na,{},{text},0 -3,0.5\n7,{},,,\n",
                object("\"\"a\"\""),
                object("7")
            ),
        ),
        (
            "tsv",
            format!(
                "id\tfields\tsummary\ttoken_ids\tmean\na\t{}\t{text}\t0 -3\t0.5\n7\t{}\t\t\t\n",
                object("\"\"a\"\""),
                object("7")
            ),
        ),
    ] {
        let path = directory.path().join(name);
        write(name.parse().unwrap(), &path, &schema, &rows);
        assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{name}");
    }
    for row in &rows {
        let bytes = row.to_bytes(&schema);
        assert_eq!(
            Row::from_bytes(row.id.clone(), &bytes, &schema).as_ref(),
            Some(row)
        );
        for length in 0..bytes.len() {
            assert_eq!(
                Row::from_bytes(row.id.clone(), &bytes[..length], &schema),
                None
            );
        }
    }
}

#[test]
fn compressed_text_is_the_same_text() {
    use std::io::Read;

    let directory = tempfile::tempdir().unwrap();
    let (schema, rows) = texts();
    let plain = directory.path().join("plain");
    write(Format::default(), &plain, &schema, &rows);
    for compression in [Compression::Gzip, Compression::Zstd] {
        let path = directory.path().join(compression.name());
        for _ in 0..2 {
            let destination = Destination::open(&path).unwrap();
            let writer = Format::default().writer(destination, compression, &schema);
            let mut writer = writer.unwrap();
            rows.iter().for_each(|row| writer.write(row).unwrap());
            writer.finish().unwrap();
        }
        let file = fs::File::open(&path).unwrap();
        let (mut read, _) = sessile_seq::compression::decompress(file).unwrap();
        let mut text = Vec::new();
        read.read_to_end(&mut text).unwrap();
        assert_eq!(text, fs::read(&plain).unwrap(), "{compression}");
    }
    let parquet: Format = "parquet".parse().unwrap();
    assert!(
        parquet
            .check_compression(&plain, Compression::Gzip)
            .is_err()
    );
}
