//! Small passes that come again are started as graphs, and nobody can tell from the answers.

mod emulation;

use emulation::Machine;
use sessile_cuda::{CudaDevice, CudaLane};
use sessile_device::{
    Admission, DType, Device, DeviceError, DeviceErrorKind, Event, Execution, LaneSpec, ModelIndex,
    OutputKind, OutputSet, Request, RequestId,
};
use sessile_models::{EncoderExecution, Model};

/// What a graph is counted by in the emulated driver.
const STARTED: i32 = 3;
const ALIVE: i32 = 4;

/// ESM-2 on one lane.
struct Running {
    execution: EncoderExecution<CudaDevice>,
    files: Model,
}

impl Running {
    fn new(device: &CudaDevice, dtype: DType) -> Self {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/golden/esm2/tiny_b"
        );
        let files = Model::open(path.as_ref()).unwrap();
        let (model, _) = files.load(device, dtype, 1026).unwrap();
        let spec = LaneSpec {
            arena_bytes: 64 << 20,
            threads: 1,
        };
        let lane: CudaLane = device.lane(&spec).unwrap();
        Running {
            execution: EncoderExecution::new(lane, vec![model], 8192),
            files,
        }
    }

    /// One pass over one sequence.
    fn pass(&mut self, sequence: &[u8], outputs: OutputSet) -> Result<Vec<u32>, DeviceError> {
        let request = Request {
            id: RequestId(0),
            model: ModelIndex(0),
            tokens: self.files.tokenizer().encode(sequence).tokens,
            outputs,
            generation: None,
        };
        assert!(matches!(self.execution.admit(request), Admission::Accepted));
        let mut events = Vec::new();
        while events.is_empty() {
            if let Err(error) = self.execution.step(&mut events) {
                self.execution.take_back();
                return Err(error);
            }
        }
        match events.remove(0).1 {
            Event::Done(output) => Ok(output
                .parts()
                .iter()
                .flat_map(|(_, tensor)| tensor.data.iter().map(|value| value.to_bits()))
                .collect()),
            other => panic!("{other:?}"),
        }
    }
}

fn sequence(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            b"LAGVSERTIDPKQNFYMHWC"[(state >> 33) as usize % 20]
        })
        .collect()
}

fn mean() -> OutputSet {
    OutputSet::default().with(OutputKind::Mean)
}

#[test]
fn a_pass_that_comes_again_is_one_start() {
    for (dtype, by_library) in [(DType::F32, true), (DType::Bf16, false)] {
        let machine = Machine::alone("graphs");
        let mut by_piece = Running::new(&machine.device(1, by_library).without_graphs(), dtype);
        let mut running = Running::new(&machine.device(0, by_library), dtype);
        // Two lengths in turn; the residues are others every time.
        for round in 0..5_u64 {
            for len in [9, 20] {
                let sequence = sequence(len, round);
                let expected = by_piece.pass(&sequence, mean()).unwrap();
                assert_eq!(running.pass(&sequence, mean()).unwrap(), expected);
                let recorded = if round < 2 { 0 } else { round - 1 };
                let turn = if len == 20 || recorded == 0 { 0 } else { 1 };
                assert_eq!(
                    machine.count(0, STARTED),
                    2 * recorded - turn,
                    "{round} {len}"
                );
            }
        }
        assert_eq!(machine.count(0, ALIVE), 2);
        assert_eq!(machine.count(1, STARTED), 0);
        // Several reads in one pass are several lists.
        let all = mean().with(OutputKind::Logits).with(OutputKind::Contacts);
        for round in 0..4 {
            let sequence = sequence(12, round);
            let expected = by_piece.pass(&sequence, all).unwrap();
            assert_eq!(running.pass(&sequence, all).unwrap(), expected);
        }
        drop(running);
        assert_eq!(machine.count(0, ALIVE), 0);
        machine.check_memory();
    }
}

#[test]
fn few_graphs_are_kept() {
    let machine = Machine::alone("many-graphs");
    let mut running = Running::new(&machine.device(0, false), DType::F32);
    for len in 1..30 {
        let sequence = sequence(len, 1);
        let first = running.pass(&sequence, mean()).unwrap();
        for _ in 0..2 {
            assert_eq!(running.pass(&sequence, mean()).unwrap(), first);
        }
        let alive = machine.count(0, ALIVE);
        assert!(alive <= 24, "{alive} graphs");
    }
    assert_eq!(machine.count(0, STARTED), 29);
}

#[test]
fn without_graphs_the_answers_are_the_same() {
    for fault in 1..=3 {
        let machine = Machine::alone("no-graphs");
        machine.graph_fault(0, fault);
        let mut running = Running::new(&machine.device(0, true), DType::F32);
        let sequence = sequence(10, 3);
        let first = running.pass(&sequence, mean()).unwrap();
        for _ in 0..4 {
            assert_eq!(running.pass(&sequence, mean()).unwrap(), first);
        }
        assert_eq!(machine.count(0, STARTED), 0);
        assert_eq!(machine.count(0, ALIVE), 0);
    }
}

#[test]
fn a_full_gpu_takes_no_graphs() {
    let machine = Machine::alone("full-graphs");
    let mut running = Running::new(&machine.device(0, true), DType::F32);
    machine.limit(0, machine.used(0) + (500 << 20));
    let sequence = sequence(10, 3);
    let first = running.pass(&sequence, mean()).unwrap();
    for _ in 0..4 {
        assert_eq!(running.pass(&sequence, mean()).unwrap(), first);
    }
    assert_eq!(machine.count(0, ALIVE), 0);
    // With room again it goes on.
    machine.limit(0, 8 << 30);
    assert_eq!(running.pass(&sequence, mean()).unwrap(), first);
    assert_eq!(machine.count(0, ALIVE), 1);
}

#[test]
fn long_passes_are_not_kept() {
    // Two launches for each head, layer and sequence.
    let machine = Machine::alone("long-graphs");
    let mut running = Running::new(&machine.device(0, false), DType::F32);
    let contacts = OutputSet::default().with(OutputKind::Contacts);
    let tokens = running.files.tokenizer().encode(b"MKT").tokens;
    let mut answers = Vec::new();
    for _ in 0..4 {
        for id in 0..120 {
            let request = Request {
                id: RequestId(id),
                model: ModelIndex(0),
                tokens: tokens.clone(),
                outputs: contacts,
                generation: None,
            };
            assert!(matches!(
                running.execution.admit(request),
                Admission::Accepted
            ));
        }
        let mut events = Vec::new();
        while !running.execution.is_idle() {
            running.execution.step(&mut events).unwrap();
        }
        assert_eq!(events.len(), 120);
        answers.push(format!("{events:?}"));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(machine.count(0, ALIVE), 0);
}

#[test]
fn a_gpu_that_is_lost_within_a_graph_is_lost() {
    let machine = Machine::alone("lost-graph");
    let mut running = Running::new(&machine.device(1, false), DType::F32);
    let sequence = sequence(10, 3);
    for _ in 0..4 {
        running.pass(&sequence, mean()).unwrap();
    }
    assert_eq!(machine.count(1, STARTED), 2);
    machine.fail(1, 5, 700);
    let error = running.pass(&sequence, mean()).unwrap_err();
    assert_eq!(error.kind(), DeviceErrorKind::Lost);
}
