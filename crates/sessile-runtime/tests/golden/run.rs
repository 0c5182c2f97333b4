//! Running a model over sequences in one execution, on any instruction set.

use sessile_cpu::{CpuDevice, CpuOptions, Isa};
use sessile_device::{
    Admission, DType, Device, Event, Execution, LaneSpec, ModelIndex, Output, OutputKind,
    OutputSet, Request, RequestId,
};
use sessile_models::{EncoderExecution, ModelFiles};

/// The instruction sets of this machine.
pub fn levels() -> impl Iterator<Item = Isa> {
    let cap = Isa::detect().unwrap();
    Isa::ALL
        .into_iter()
        .filter(move |isa| *isa <= cap && isa.available())
}

/// Runs every sequence in one execution and returns the outputs in their order.
pub fn answers(
    isa: Isa,
    files: &ModelFiles,
    dtype: DType,
    token_budget: usize,
    threads: usize,
    requests: &[(Vec<u32>, OutputSet)],
) -> Vec<Output> {
    let device = CpuDevice::new(CpuOptions {
        isa: Some(isa),
        threads: 1,
    })
    .unwrap();
    let (model, _) = files.load(&device, dtype, 1026).unwrap();
    let lane = device
        .lane(&LaneSpec {
            arena_bytes: 256 << 20,
            threads,
        })
        .unwrap();
    let mut execution = EncoderExecution::<CpuDevice>::new(lane, vec![model], token_budget);
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
