//! A plan says what a run takes, and a lane of that size is enough.

mod common;

use std::sync::Arc;

use common::{Answers, Block, batch};
use sessile_cpu::{CpuDevice, CpuGeometry, CpuOptions};
use sessile_device::{DType, Device, DeviceErrorKind, LaneSpec, PackedBatch, PlanDevice};

fn planned(device: &CpuDevice, batch: &PackedBatch) -> usize {
    let plan = PlanDevice::new(Arc::new(CpuGeometry::new(device.isa())));
    let block = Block::new(&plan, DType::F32).unwrap();
    let spec = LaneSpec {
        arena_bytes: usize::MAX,
        threads: 1,
    };
    let mut lane = plan.lane(&spec).unwrap();
    let mut answers = Answers::default();
    block
        .run(&mut lane, batch, DType::F32, &mut answers)
        .unwrap();
    lane.report().arena_bytes
}

#[test]
fn a_run_takes_what_its_plan_says() {
    let device = CpuDevice::new(CpuOptions::default()).unwrap();
    let block = Block::new(&device, DType::F32).unwrap();
    let batch = batch(&[1, 17, 40, 5]);
    let arena_bytes = planned(&device, &batch);
    let mut answers = Answers::default();

    let spec = LaneSpec {
        arena_bytes,
        threads: 1,
    };
    let mut lane = device.lane(&spec).unwrap();
    block
        .run(&mut lane, &batch, DType::F32, &mut answers)
        .unwrap();
    assert!(answers.logits.iter().all(|x| x.is_finite()));

    let spec = LaneSpec {
        arena_bytes: arena_bytes - 1,
        threads: 1,
    };
    let mut lane = device.lane(&spec).unwrap();
    let error = block
        .run(&mut lane, &batch, DType::F32, &mut answers)
        .unwrap_err();
    assert_eq!(error.kind(), DeviceErrorKind::OutOfMemory);
}
