//! What is saved in torch's format is read back as it was.

use std::fs;

use sessile_models::checkpoint::pickle::Value;
use sessile_models::checkpoint::{Checkpoint, Saved, TorchFile, write_torch};

/// Every kind of value, nested, and numbers at the edges of their formats.
fn everything() -> Saved<'static> {
    Saved::Dict(vec![
        ("none".into(), Saved::None),
        (
            "flags".into(),
            Saved::Tuple(vec![Saved::Bool(true), Saved::Bool(false)]),
        ),
        (
            "ints".into(),
            Saved::List(
                [
                    0,
                    255,
                    256,
                    -1,
                    65_536,
                    i64::from(i32::MIN),
                    i64::MAX,
                    i64::MIN,
                ]
                .map(Saved::Int)
                .to_vec(),
            ),
        ),
        (
            "floats".into(),
            Saved::List([0.1, -1e300, f64::INFINITY].map(Saved::Float).to_vec()),
        ),
        ("text".into(), "séquence|1 \n'".into()),
        (
            "many".into(),
            Saved::List((0..2500).map(Saved::Int).collect()),
        ),
        (
            "scalar".into(),
            Saved::Tensor {
                shape: vec![],
                data: vec![2.5].into(),
            },
        ),
        (
            "empty".into(),
            Saved::Tensor {
                shape: vec![0, 4],
                data: vec![].into(),
            },
        ),
        (
            "matrix".into(),
            Saved::Tensor {
                shape: vec![2, 3],
                data: vec![0., 1., 2., 3., 4., 5.].into(),
            },
        ),
    ])
}

#[test]
fn values_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("everything.pt");
    let saved = everything();
    fs::write(
        &path,
        write_torch(Vec::new(), "everything", &saved).unwrap(),
    )
    .unwrap();
    let file = TorchFile::open(&path).unwrap();
    compare(&file, &saved, file.value());
}

fn compare(file: &TorchFile, saved: &Saved<'_>, value: &Value) {
    match (saved, value) {
        (Saved::None, Value::None) => {}
        (Saved::Bool(a), Value::Bool(b)) => assert_eq!(a, b),
        (Saved::Int(a), Value::Int(b)) => assert_eq!(a, b),
        (Saved::Float(a), Value::Float(b)) => assert_eq!(a, b),
        (Saved::Str(a), Value::Str(b)) => assert_eq!(a, b.as_ref()),
        (Saved::List(a), Value::List(b)) | (Saved::Tuple(a), Value::Tuple(b)) => {
            assert_eq!(a.len(), b.len());
            a.iter()
                .zip(b.iter())
                .for_each(|(a, b)| compare(file, a, b));
        }
        (Saved::Dict(a), Value::Dict(b)) => {
            assert_eq!(a.len(), b.entries.len());
            for ((key, a), (have, b)) in a.iter().zip(&b.entries) {
                compare(file, key, have);
                compare(file, a, b);
            }
        }
        (Saved::Tensor { shape, data }, Value::Tensor(tensor)) => {
            let read = file.read(tensor).unwrap();
            assert_eq!((&read.shape, &read.data[..]), (shape, &data[..]));
        }
        (saved, value) => panic!("{saved:?} came back as {value:?}"),
    }
}

#[test]
fn storages_are_aligned_as_torch_aligns_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pt");
    let weights = Saved::Dict(vec![(
        "w".into(),
        Saved::Tensor {
            shape: vec![3],
            data: vec![1., 2., 3.].into(),
        },
    )]);
    let bytes = write_torch(Vec::new(), "w", &weights).unwrap();
    let at = bytes
        .windows(12)
        .position(|w| w == bytemuck::cast_slice::<f32, u8>(&[1., 2., 3.]));
    assert_eq!(at.unwrap() % 64, 0);
    fs::write(&path, bytes).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(
        checkpoint.rows("w").unwrap().to_host().unwrap().data,
        [1., 2., 3.]
    );
}

#[test]
fn more_entries_than_sixteen_bits_count_need_the_wide_directory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.pt");
    let one = |value| Saved::Tensor {
        shape: vec![1],
        data: vec![value as f32].into(),
    };
    let many = Saved::List((0..70_000).map(one).collect());
    fs::write(&path, write_torch(Vec::new(), "many", &many).unwrap()).unwrap();
    let file = TorchFile::open(&path).unwrap();
    let tensors = file.value().as_list().unwrap();
    assert_eq!(
        file.read(tensors[69_999].as_tensor().unwrap())
            .unwrap()
            .data,
        [69_999.0]
    );
}

#[test]
fn a_shape_that_does_not_fit_is_refused() {
    let wrong = Saved::Tensor {
        shape: vec![2, 2],
        data: vec![0.0; 3].into(),
    };
    assert!(write_torch(Vec::new(), "w", &wrong).is_err());
}
