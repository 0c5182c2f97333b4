//! What a user's data can do wrong surfaces where the lane waits, and the lane lives on.

mod common;

use common::{Answers, Block, batch};
use sessile_cpu::{CpuDevice, CpuOptions, Isa};
use sessile_device::{
    DType, Device, DeviceErrorKind, Format, HostTensor, Lane, LaneSpec, PackedBatch, RowSource,
    WeightLayout,
};

const SPEC: LaneSpec = LaneSpec {
    arena_bytes: 16 << 20,
    threads: 1,
};

fn device() -> CpuDevice {
    CpuDevice::new(CpuOptions::default()).unwrap()
}

#[test]
fn unknown_tokens_and_long_sequences_are_errors() {
    let device = device();
    let block = Block::new(&device, DType::F32).unwrap();
    let mut lane = device.lane(&SPEC).unwrap();
    let mut answers = Answers::default();
    let mut unknown = PackedBatch::default();
    unknown.push(&[3, 33]);
    // There are angles for 600 positions.
    for bad in [unknown, batch(&[601])] {
        let error = block
            .run(&mut lane, &bad, DType::F32, &mut answers)
            .unwrap_err();
        assert_eq!(error.kind(), DeviceErrorKind::Misuse, "{error}");
        block
            .run(&mut lane, &batch(&[600]), DType::F32, &mut answers)
            .unwrap();
    }
}

#[test]
fn an_empty_batch_is_no_error() {
    let device = device();
    let block = Block::new(&device, DType::F32).unwrap();
    let mut lane = device.lane(&SPEC).unwrap();
    let mut answers = Answers::default();
    for lengths in [&[][..], &[0], &[0, 5, 0]] {
        block
            .run(&mut lane, &batch(lengths), DType::F32, &mut answers)
            .unwrap();
        assert_eq!(answers.chosen.len(), lengths.iter().sum::<usize>());
    }
}

#[test]
fn reads_are_taken_once_and_in_any_order() {
    let mut lane = device().lane(&SPEC).unwrap();
    let a = lane.upload_values(&[1.0, 2.0]).unwrap();
    let b = lane.upload_values(&[3.0]).unwrap();
    let (first, second) = (lane.read(a), lane.read(b));
    lane.zero(a);
    let mut values = Vec::new();
    lane.wait(second, &mut values).unwrap();
    assert_eq!(values, [3.0]);
    lane.wait(first, &mut values).unwrap();
    assert_eq!(values, [1.0, 2.0]);
    let error = lane.wait(first, &mut values).unwrap_err();
    assert_eq!(error.kind(), DeviceErrorKind::Misuse);
}

#[test]
fn a_full_arena_changes_nothing() {
    let device = device();
    let mut lane = device
        .lane(&LaneSpec {
            arena_bytes: 1024,
            threads: 1,
        })
        .unwrap();
    let mark = lane.mark();
    let error = lane.buffer(16, 17, Format::F32).unwrap_err();
    assert_eq!(error.kind(), DeviceErrorKind::OutOfMemory);
    let error = lane.upload(&batch(&[200])).unwrap_err();
    assert_eq!(error.kind(), DeviceErrorKind::OutOfMemory);
    assert_eq!(lane.mark(), mark);
    lane.buffer(16, 16, Format::F32).unwrap();
}

#[test]
fn weights_that_make_no_sense_are_refused() {
    let device = device();
    let matrix = |rows, cols| HostTensor::new(vec![rows, cols], vec![0.0; rows * cols]);
    let (narrow, wide) = (matrix(2, 3), matrix(2, 4));
    let parts: [&dyn RowSource; 2] = [&narrow, &wide];
    let odd = matrix(3, 4);
    for (parts, layout) in [
        (&parts[..], WeightLayout::Linear),
        (&[&odd as &dyn RowSource], WeightLayout::Gated),
    ] {
        let error = device
            .pack(parts, layout, DType::F32)
            .map(drop)
            .unwrap_err();
        assert_eq!(error.kind(), DeviceErrorKind::Misuse);
    }
}

#[test]
fn an_instruction_set_that_is_missing_is_refused() {
    let missing = Isa::ALL.into_iter().find(|isa| !isa.available());
    if let Some(isa) = missing {
        let options = CpuOptions {
            isa: Some(isa),
            threads: 1,
        };
        let error = CpuDevice::new(options).map(drop).unwrap_err();
        assert_eq!(error.kind(), DeviceErrorKind::Unsupported);
    }
}
