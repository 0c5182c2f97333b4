//! What goes wrong on a GPU and what is left afterwards.

mod emulation;
#[path = "operations/mod.rs"]
mod operations;

use emulation::Machine;
use operations::{Matrix, lane, read, upload};
use sessile_cuda::{CudaDevice, CudaGeometry};
use sessile_device::{
    DType, Device, DeviceErrorKind, Epilogue, Format, Geometry, Lane, LaneSpec, WeightLayout,
};

/// A small product over a lane of the device.
fn works(device: &CudaDevice) -> Result<Vec<f32>, String> {
    let mut lane = device
        .lane(&LaneSpec {
            arena_bytes: 1 << 16,
            threads: 1,
        })
        .map_err(|error| error.to_string())?;
    let weight = device
        .pack(
            &[&Matrix::random(1, 8, 8).tensor()],
            WeightLayout::Linear,
            DType::F32,
        )
        .map_err(|error| error.to_string())?;
    let x = operations::upload_as(
        &mut lane,
        &Matrix::random(2, 4, 8),
        Format::Operand(DType::F32),
    );
    let out = lane.buffer(4, 8, Format::F32).unwrap();
    lane.linear(x, &weight, None, Epilogue::Store, out);
    read(&mut lane, out)
}

#[test]
fn a_full_arena_costs_one_pass() {
    let machine = Machine::alone("arena");
    let device = machine.device(0, false);
    let mut lane = lane(&device);
    let mark = lane.mark();
    let error = lane.buffer(1 << 20, 1 << 10, Format::F32).unwrap_err();
    assert_eq!(error.kind(), DeviceErrorKind::OutOfMemory);
    let error = lane.buffer(usize::MAX, 2, Format::F32).unwrap_err();
    assert_eq!(error.kind(), DeviceErrorKind::OutOfMemory);
    lane.release(mark);
    let x = upload(&mut lane, &Matrix::random(1, 3, 3));
    assert!(read(&mut lane, x).is_ok());
}

#[test]
fn a_full_gpu_says_so_and_goes_on() {
    let machine = Machine::alone("full");
    let device = machine.device(0, true);
    let before = works(&device).unwrap();
    machine.limit(0, machine.used(0) + (4 << 20));
    let spec = LaneSpec {
        arena_bytes: 1 << 30,
        threads: 1,
    };
    let error = device.lane(&spec).err().unwrap();
    assert_eq!(error.kind(), DeviceErrorKind::OutOfMemory);
    assert!(error.to_string().contains("1024 MiB"), "{error}");
    let large = Matrix::random(1, 2048, 2048).tensor();
    let error = device
        .pack(&[&large], WeightLayout::Linear, DType::F32)
        .err()
        .unwrap();
    assert_eq!(error.kind(), DeviceErrorKind::OutOfMemory);
    assert_eq!(works(&device).unwrap(), before);
    // What was taken for weights and lanes that are gone is back.
    let used = machine.used(0);
    for _ in 0..5 {
        works(&device).unwrap();
    }
    assert_eq!(machine.used(0), used);
    machine.check_memory();
}

#[test]
fn a_sticky_error_loses_the_gpu_and_no_other() {
    let machine = Machine::alone("lost");
    let (lost, other) = (machine.device(1, true), machine.device(0, true));
    assert!(works(&lost).is_ok());
    let mut lane = lane(&lost);
    let x = upload(&mut lane, &Matrix::random(1, 3, 3));
    machine.fail(1, 0, 700);
    // Queued, not known to have failed before somebody waits.
    lane.zero(x);
    let ticket = lane.read(x);
    let mut values = Vec::new();
    let error = lane.wait(ticket, &mut values).unwrap_err();
    assert_eq!(error.kind(), DeviceErrorKind::Lost);
    assert!(error.to_string().contains("cuda:1"), "{error}");
    assert!(lost.is_lost() && !other.is_lost());
    // Whatever is asked of it from now on is answered so, at once.
    let error = lost
        .lane(&LaneSpec {
            arena_bytes: 4096,
            threads: 1,
        })
        .err()
        .unwrap();
    assert_eq!(error.kind(), DeviceErrorKind::Lost);
    let launches = machine.count(1, 0);
    lane.zero(x);
    let ticket = lane.read(x);
    assert_eq!(
        lane.wait(ticket, &mut values).unwrap_err().kind(),
        DeviceErrorKind::Lost
    );
    assert_eq!(machine.count(1, 0), launches);
    drop(lane);
    drop(lost);
    assert!(works(&other).is_ok());
}

#[test]
fn a_failed_pass_leaves_nothing_behind() {
    let machine = Machine::alone("pass");
    let device = machine.device(0, false);
    let mut lane = lane(&device);
    // A ticket that was never given, and one that was taken.
    let x = upload(&mut lane, &Matrix::random(1, 2, 2));
    let ticket = lane.read(x);
    let mut values = Vec::new();
    lane.wait(ticket, &mut values).unwrap();
    assert_eq!(values.len(), 4);
    let error = lane.wait(ticket, &mut values).unwrap_err();
    assert_eq!(error.kind(), DeviceErrorKind::Misuse);
    // Sizes of all kinds, many times: pinned memory is used again.
    for round in 0..3 {
        for count in [1, 5000, 17, 300_000, 64] {
            let mark = lane.mark();
            let matrix = Matrix::random(round + count as u64, count, 1);
            let x = upload(&mut lane, &matrix);
            let y = upload(&mut lane, &matrix);
            lane.zero(y);
            let (first, second) = (lane.read(x), lane.read(y));
            lane.release(mark);
            lane.wait(second, &mut values).unwrap();
            assert!(values.iter().all(|&value| value == 0.0));
            lane.wait(first, &mut values).unwrap();
            assert_eq!(values, matrix.data);
        }
    }
}

#[test]
fn a_weight_is_copied_once_and_takes_what_was_planned() {
    let machine = Machine::alone("weights");
    let device = machine.device(0, false);
    for (rows, cols, dtype) in [(3000, 701, DType::Bf16), (5000, 999, DType::F32)] {
        let before = (machine.count(0, 2), machine.used(0));
        let matrix = Matrix::random(7, rows, cols);
        let weight = device
            .pack(&[&matrix.tensor()], WeightLayout::Linear, dtype)
            .unwrap();
        let planned = CudaGeometry.weight_bytes(rows, cols, WeightLayout::Linear, dtype);
        let copied = machine.count(0, 2) - before.0;
        assert!(copied as usize <= planned && planned - (copied as usize) < 256);
        assert_eq!(machine.used(0) - before.1, planned);
        drop(weight);
        assert_eq!(machine.used(0), before.1);
    }
}

#[test]
fn a_library_without_memory_costs_a_pass_and_not_the_gpu() {
    // cuBLAS says "internal error" (14) and "execution failed" (13) where it has no memory left to
    // load a kernel.
    let machine = Machine::alone("library");
    let device = machine.device(0, true);
    let before = works(&device).unwrap();
    for status in [3, 13, 14] {
        machine.library_fails(0, 0, status);
        let error = works(&device).unwrap_err();
        assert!(
            error.contains(&format!("cuBLAS status {status}")),
            "{error}"
        );
        assert!(!device.is_lost());
        assert_eq!(works(&device).unwrap(), before);
    }
    // On a GPU that is lost the same status says so.
    machine.fail(0, 0, 700);
    assert!(works(&device).is_err());
    assert!(device.is_lost());
}

#[test]
fn a_library_that_does_not_start_leaves_the_work_to_own_kernels() {
    let machine = Machine::alone("no-start");
    let expected = works(&machine.device(1, false)).unwrap();
    machine.library_fails(0, 1, 0);
    let device = machine.device(0, true);
    assert_eq!(device.kernel_family(DType::F32), "cuda-sm_90a-own-f32");
    assert_eq!(works(&device).unwrap(), expected);
}

#[test]
fn what_went_wrong_in_one_pass_is_not_told_to_the_next() {
    let machine = Machine::alone("next");
    let device = machine.device(0, true);
    let mut lane = lane(&device);
    let mark = lane.mark();
    let x = upload(&mut lane, &Matrix::random(1, 3, 3));
    machine.library_fails(0, 0, 3);
    let weight = device
        .pack(
            &[&Matrix::random(1, 8, 8).tensor()],
            WeightLayout::Linear,
            DType::F32,
        )
        .unwrap();
    let operand = operations::upload_as(
        &mut lane,
        &Matrix::random(2, 4, 8),
        Format::Operand(DType::F32),
    );
    let out = lane.buffer(4, 8, Format::F32).unwrap();
    lane.linear(operand, &weight, None, Epilogue::Store, out);
    // The pass ends here, and with what was wrong first.
    let error = lane.buffer(1 << 20, 1 << 10, Format::F32).unwrap_err();
    assert!(error.to_string().contains("cuBLAS status 3"), "{error}");
    lane.release(mark);
    assert!(read(&mut lane, x).is_ok());
}

#[test]
fn a_gpu_that_no_kernels_are_built_for_compiles_them() {
    // 12.0 and 9.0 take other images than the emulated 9.0 does: the names are the same.
    let machine = Machine::alone("newer");
    let mut gpu = machine.gpus[0].clone();
    gpu.capability = (12, 0);
    let device = CudaDevice::new(machine.driver, &gpu, None, 1).unwrap();
    assert_eq!(
        device.kernel_family(DType::Bf16),
        "cuda-compute_80-on-12.0-by-12040-own-bf16"
    );
    assert!(works(&device).is_ok());
    // Kernels for another GPU are refused by the driver, in words.
    gpu.capability = (8, 0);
    let error = CudaDevice::new(machine.driver, &gpu, None, 1)
        .err()
        .unwrap();
    assert_eq!(error.kind(), DeviceErrorKind::Unsupported);
    gpu.refusal = Some(sessile_cuda::Refusal {
        reason: "not lent".to_owned(),
        hint: None,
    });
    let error = CudaDevice::new(machine.driver, &gpu, None, 1)
        .err()
        .unwrap();
    assert!(error.to_string().contains("not lent"));
}
