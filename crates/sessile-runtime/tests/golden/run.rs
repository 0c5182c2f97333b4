//! Running a model over sequences in one execution, on any instruction set and any GPU.

use sessile_cpu::{CpuDevice, CpuOptions, Isa};
use sessile_device::{
    Admission, DType, Device, Event, Execution, LaneSpec, ModelIndex, Output, OutputKind,
    OutputSet, Request, RequestId,
};
use sessile_models::{EncoderExecution, ModelFiles};
use sessile_runtime::discovery::{self, FoundGpu};

/// Where a model runs: the processor at some level, or a GPU.
#[derive(Clone, Debug)]
pub enum Place {
    Cpu(Isa),
    Cuda {
        gpu: FoundGpu,
        /// Made of software: right, and slow.
        emulated: bool,
    },
}

impl Place {
    /// Whether hundreds of passes take no time to speak of.
    pub fn is_fast(&self) -> bool {
        match self {
            Place::Cpu(isa) => *isa >= Isa::Avx512,
            Place::Cuda { emulated, .. } => !emulated,
        }
    }
}

impl From<Isa> for Place {
    fn from(isa: Isa) -> Self {
        Place::Cpu(isa)
    }
}

/// The instruction sets of this machine and the first of its GPUs, if it has one.
pub fn places() -> impl Iterator<Item = Place> {
    let found = discovery::survey().unwrap();
    let gpu = found.devices.into_iter().find_map(|device| {
        let emulated = device.description.starts_with("Emulated");
        device.cuda.map(|gpu| Place::Cuda { gpu, emulated })
    });
    levels().map(Place::Cpu).chain(gpu)
}

/// The instruction sets of this machine.
pub fn levels() -> impl Iterator<Item = Isa> {
    let cap = Isa::detect().unwrap();
    Isa::ALL
        .into_iter()
        .filter(move |isa| *isa <= cap && isa.available())
}

/// Runs every sequence in one execution and returns the outputs in their order.
pub fn answers(
    place: impl Into<Place>,
    files: &ModelFiles,
    dtype: DType,
    token_budget: usize,
    threads: usize,
    requests: &[(Vec<u32>, OutputSet)],
) -> Vec<Output> {
    match place.into() {
        Place::Cpu(isa) => {
            let device = CpuDevice::new(CpuOptions {
                isa: Some(isa),
                threads: 1,
            })
            .unwrap();
            answers_on(&device, files, dtype, token_budget, threads, requests)
        }
        Place::Cuda { gpu, .. } => {
            let device = gpu.open(1).unwrap();
            answers_on(&device, files, dtype, token_budget, threads, requests)
        }
    }
}

fn answers_on<D: Device>(
    device: &D,
    files: &ModelFiles,
    dtype: DType,
    token_budget: usize,
    threads: usize,
    requests: &[(Vec<u32>, OutputSet)],
) -> Vec<Output> {
    let (model, _) = files.load(device, dtype, 1026).unwrap();
    let lane = device
        .lane(&LaneSpec {
            arena_bytes: 256 << 20,
            threads,
        })
        .unwrap();
    let mut execution = EncoderExecution::<D>::new(lane, vec![model], token_budget);
    for (index, (tokens, outputs)) in requests.iter().enumerate() {
        let request = Request {
            id: RequestId(index as u64),
            model: ModelIndex(0),
            tokens: tokens.clone(),
            outputs: *outputs,
            generation: None,
        };
        assert!(matches!(execution.admit(request), Admission::Accepted));
    }
    let mut answers: Vec<Option<Output>> = vec![None; requests.len()];
    let mut events = Vec::new();
    while !execution.is_idle() {
        execution.step(&mut events).unwrap();
        for (id, event) in events.drain(..) {
            match event {
                Event::Done(output) => answers[id.0 as usize] = Some(output),
                other => panic!("{id:?}: {other:?}"),
            }
        }
    }
    answers.into_iter().map(Option::unwrap).collect()
}

/// The values of one output.
pub fn values(output: &Output, kind: OutputKind) -> &[f32] {
    &output.get(kind).unwrap_or_else(|| panic!("{kind:?}")).data
}
