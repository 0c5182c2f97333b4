//! Every golden checkpoint, whatever its format, gives the same tensors.

use std::path::PathBuf;

use sessile_device::RowSource;
use sessile_models::checkpoint::{Checkpoint, CheckpointFormat};

fn golden(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(path)
}

fn open(path: &str) -> Checkpoint {
    Checkpoint::open(&golden(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn rows_are_read_anywhere_and_in_blocks() {
    let checkpoint = open("esm2/tiny_a");
    assert_eq!(checkpoint.format(), CheckpointFormat::Safetensors);
    let rows = checkpoint
        .rows("esm.embeddings.word_embeddings.weight")
        .unwrap();
    assert_eq!((rows.rows(), rows.cols()), (33, 48));
    let whole = rows.to_host().unwrap();
    let mut block = vec![0.0; 5 * 48];
    rows.read_rows(7, &mut block).unwrap();
    assert_eq!(block, whole.data[7 * 48..12 * 48]);
    assert!(rows.read_rows(30, &mut block).is_err());
}

#[test]
fn shards_give_the_tensors_of_one_file() {
    let (whole, sharded) = (open("esm2/tiny_a"), open("esm2/tiny_a/variant_sharded"));
    for name in sharded.names() {
        let (a, b) = (whole.rows(name).unwrap(), sharded.rows(name).unwrap());
        assert_eq!(a.to_host().unwrap(), b.to_host().unwrap(), "{name}");
    }
}
