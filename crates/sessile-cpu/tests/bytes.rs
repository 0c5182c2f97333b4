//! The bytes of a sequence's answer: the same in any company, on any number of threads.

mod common;

use common::{Answers, Block, HEADS, VOCABULARY, WIDTH, batch};
use sessile_cpu::{CpuDevice, CpuOptions, Isa};
use sessile_device::{DType, Device, LaneSpec};

fn answers(device: &CpuDevice, dtype: DType, lengths: &[usize], threads: usize) -> Answers {
    let block = Block::new(device, dtype).unwrap();
    let spec = LaneSpec {
        arena_bytes: 16 << 20,
        threads,
    };
    let mut lane = device.lane(&spec).unwrap();
    let mut answers = Answers::default();
    block
        .run(&mut lane, &batch(lengths), dtype, &mut answers)
        .unwrap();
    answers
}

fn devices() -> impl Iterator<Item = CpuDevice> {
    let isas = Isa::ALL.into_iter().filter(|isa| isa.available());
    isas.map(|isa| {
        CpuDevice::new(CpuOptions {
            isa: Some(isa),
            threads: 2,
        })
        .unwrap()
    })
}

#[test]
fn company_and_threads_do_not_show() {
    let lengths = [40, 1, 513, 7, 16];
    let both = [DType::F32, DType::Bf16];
    for (device, dtype) in devices().flat_map(|device| both.map(|dtype| (device.clone(), dtype))) {
        let together = answers(&device, dtype, &lengths, 1);
        let family = device.kernel_family(dtype);
        assert_eq!(together, answers(&device, dtype, &lengths, 3), "{family}");
        let mut first = 0;
        for (index, &len) in lengths.iter().enumerate() {
            let alone = answers(&device, dtype, &[len], 1);
            let rows = first..first + len;
            let logits = rows.start * VOCABULARY..rows.end * VOCABULARY;
            assert_eq!(alone.logits, together.logits[logits]);
            assert_eq!(alone.pooled, together.pooled[index * WIDTH..][..WIDTH]);
            assert_eq!(alone.chosen, together.chosen[rows]);
            first += len;
        }
    }
}

#[test]
fn instruction_sets_agree_within_rounding() {
    let all: Vec<Answers> = devices()
        .map(|device| answers(&device, DType::F32, &[60, 5], 1))
        .collect();
    for other in &all[1..] {
        for (a, b) in all[0].logits.iter().zip(&other.logits) {
            assert!((a - b).abs() < 1e-4 * HEADS as f32, "{a} and {b}");
        }
    }
}

#[test]
fn bf16_stays_near_f32() {
    for device in devices() {
        let exact = answers(&device, DType::F32, &[60, 5, 130], 1);
        let rounded = answers(&device, DType::Bf16, &[60, 5, 130], 1);
        for (a, b) in exact.pooled.chunks(WIDTH).zip(rounded.pooled.chunks(WIDTH)) {
            let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            assert!(
                cosine > 0.999,
                "{}: {cosine}",
                device.kernel_family(DType::Bf16)
            );
        }
    }
}
