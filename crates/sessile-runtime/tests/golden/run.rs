//! Running a model over sequences in one execution, on any instruction set and any GPU.

use sessile_cpu::{CpuDevice, CpuOptions, Isa};
use sessile_cuda::{CudaDevice, Gpu, Libraries, Visibility};
use sessile_device::{
    Admission, DType, Device, Event, Execution, LaneSpec, ModelIndex, Output, OutputKind,
    OutputSet, Request, RequestId,
};
use sessile_models::{EncoderExecution, Model};

/// The tokens of a batch where nothing else is asked for.
pub const BUDGET: usize = 4096;

/// Where a model runs: the processor at some level, or a GPU.
#[derive(Clone)]
pub enum Place {
    Cpu(Isa),
    Cuda(CudaDevice),
    /// A GPU made of software: right, and slow.
    Emulated {
        device: CudaDevice,
        /// Sequences of more tokens are left out.
        longest: usize,
    },
}

impl Place {
    /// Whether a sequence is not too long for this place.
    pub fn takes(&self, tokens: &[u32]) -> bool {
        match self {
            Place::Emulated { longest, .. } => tokens.len() <= *longest,
            _ => true,
        }
    }

    /// The longest text whose every residue is masked in turn here: a scan takes as many passes,
    /// which is nothing for the fast kernels and minutes for the others.
    pub fn longest_scan(&self) -> usize {
        match self {
            Place::Cpu(isa) if *isa < Isa::Avx512 => 119,
            Place::Emulated { .. } => 7,
            _ => usize::MAX,
        }
    }

    /// Room for a batch of [`BUDGET`] tokens; an emulated GPU touches all of it.
    fn arena_bytes(&self) -> usize {
        match self {
            Place::Emulated { .. } => 24 << 20,
            _ => 256 << 20,
        }
    }

    /// The narrow number formats of this place.
    pub fn formats_of_16_bits(&self) -> &'static [DType] {
        match self {
            Place::Cpu(_) => &[DType::Bf16],
            _ => &[DType::Bf16, DType::F16],
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
    let found = sessile_cuda::survey(
        &Libraries::from_environment(),
        &Visibility::from_environment(),
    );
    let usable = |gpu: &&Gpu| gpu.refusal.is_none();
    let gpu = found.driver.ok().zip(found.gpus.iter().find(usable));
    let library = found.cublaslt.ok();
    let gpu = gpu.map(|(driver, gpu)| CudaDevice::new(driver, gpu, library, 1).unwrap());
    levels().map(Place::Cpu).chain(gpu.map(Place::Cuda))
}

/// The instruction sets of this machine, up to the one that `SESSILE_ISA` names.
pub fn levels() -> impl Iterator<Item = Isa> {
    let cap = Isa::cap().unwrap();
    Isa::ALL
        .into_iter()
        .filter(move |isa| *isa <= cap && isa.available())
}

/// Runs every sequence in one execution and returns the outputs in their order.
pub fn answers(
    place: &Place,
    files: &Model,
    dtype: DType,
    token_budget: usize,
    requests: &[(Vec<u32>, OutputSet)],
) -> Vec<Output> {
    match place {
        Place::Cpu(isa) => {
            let device = processor(*isa);
            answers_on(&device, place, files, dtype, token_budget, requests)
        }
        Place::Cuda(device) | Place::Emulated { device, .. } => {
            answers_on(device, place, files, dtype, token_budget, requests)
        }
    }
}

/// The processor, as if it had no more than `isa`.
pub fn processor(isa: Isa) -> CpuDevice {
    let options = CpuOptions {
        isa: Some(isa),
        threads: 1,
    };
    CpuDevice::new(options).unwrap()
}

fn answers_on<D: Device>(
    device: &D,
    place: &Place,
    files: &Model,
    dtype: DType,
    token_budget: usize,
    requests: &[(Vec<u32>, OutputSet)],
) -> Vec<Output> {
    let (model, _) = files.load(device, dtype, 1026).unwrap();
    let lane = device
        .lane(&LaneSpec {
            arena_bytes: place.arena_bytes(),
            threads: 1,
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

/// The last states of a sequence, `[tokens, hidden]`.
pub fn last_states<'a>(output: &'a Output, tokens: &[u32]) -> &'a [f32] {
    let states = output.get(OutputKind::HiddenStates).unwrap();
    &states.data[states.data.len() - tokens.len() * states.shape[2]..]
}

/// The values of one output.
pub fn values(output: &Output, kind: OutputKind) -> &[f32] {
    &output.get(kind).unwrap_or_else(|| panic!("{kind:?}")).data
}

/// Says, past the capture of output, at which levels the goldens are run here.
#[test]
fn levels_of_the_goldens_are_told() {
    use std::io::Write;

    let (ran, missing): (Vec<Isa>, Vec<Isa>) = Isa::ALL
        .iter()
        .partition(|isa| levels().any(|level| level == **isa));
    let names = |list: &[Isa]| {
        list.iter()
            .map(Isa::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    writeln!(
        std::io::stderr(),
        "goldens ran at: {}; NOT RUN, this machine does not have them or SESSILE_ISA excludes them: {}",
        names(&ran),
        names(&missing)
    )
    .unwrap();
    assert!(ran.contains(&Isa::Portable));
}
