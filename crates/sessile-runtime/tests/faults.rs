//! Lanes and requests that fail: a lane that does not answer any more costs nobody an answer, and
//! a request under which every lane fails ends alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sessile_cpu::{CpuDevice, CpuOptions};
use sessile_device::{
    Admission, DType, Device, DeviceError, DeviceErrorKind, DeviceId, Event, Execution, LaneSpec,
    ModelIndex, OutputKind, OutputSet, Request, RequestErrorKind, RequestId,
};
use sessile_models::{EncoderExecution, Model};
use sessile_runtime::{Dispatch, LaneInfo, Metrics, Pool, PoolOptions, PoolRequest};

const BUDGET: usize = 256;

/// Sequences of this many tokens fail the step they are in.
const POISON: usize = 23;

/// A lane of the demo model that fails.
struct Faulty {
    inner: Box<dyn Execution>,
    /// Steps that go well before all others fail.
    good_steps: u64,
    steps: Arc<AtomicU64>,
    has_poison: bool,
}

impl Execution for Faulty {
    fn admit(&mut self, request: Request) -> Admission {
        self.has_poison |= request.tokens.len() == POISON;
        self.inner.admit(request)
    }

    fn step(&mut self, events: &mut Vec<(RequestId, Event)>) -> Result<(), DeviceError> {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        if step >= self.good_steps || std::mem::take(&mut self.has_poison) {
            let message = "the step went wrong";
            return Err(DeviceError::new(DeviceErrorKind::Misuse, message));
        }
        self.inner.step(events)
    }

    fn is_idle(&self) -> bool {
        self.inner.is_idle()
    }

    fn take_back(&mut self) -> Vec<Request> {
        self.inner.take_back()
    }
}

fn wanted() -> OutputSet {
    OutputSet::default().with(OutputKind::Mean)
}

fn request(residues: usize) -> PoolRequest {
    let text = "MKTAYIAKQR".repeat(10);
    let tokens = Model::demo()
        .tokenizer()
        .encode(&text.as_bytes()[..residues])
        .tokens;
    PoolRequest::new(ModelIndex(0), tokens, wanted())
}

/// A lane for each number: the steps that go well on it. With the steps each lane has made.
fn pool(good_steps: &[u64]) -> (Pool, Vec<Arc<AtomicU64>>) {
    let demo = Model::demo();
    let options = PoolOptions {
        outputs: wanted(),
        dtype: "f32".parse().unwrap(),
        token_budget: Some(BUDGET),
        ..PoolOptions::default()
    };
    let plan = sessile_runtime::plan_pool(&[Model::demo()], &options).unwrap();
    let threads = good_steps.len();
    let device = CpuDevice::new(CpuOptions { isa: None, threads }).unwrap();
    let (model, _) = demo.load(&device, DType::F32, 1026).unwrap();
    let mut counters = Vec::new();
    let lanes = good_steps.iter().enumerate().map(|(index, &good_steps)| {
        let spec = LaneSpec {
            arena_bytes: plan[0].workspace_bytes as usize,
            threads: 1,
        };
        let lane = device.lane(&spec).unwrap();
        let steps = Arc::new(AtomicU64::new(0));
        counters.push(Arc::clone(&steps));
        let faulty = Faulty {
            inner: Box::new(EncoderExecution::<CpuDevice>::new(
                lane,
                vec![Arc::clone(&model)],
                BUDGET,
            )),
            good_steps,
            steps,
            has_poison: false,
        };
        let info = LaneInfo {
            device: DeviceId::Cpu,
            index,
            token_budget: BUDGET,
        };
        (info, Box::new(faulty) as Box<dyn Execution>)
    });
    let lanes = lanes.collect();
    let (dispatch, trial) = (Dispatch::default(), Some(request(1)));
    let pool = Pool::with_lanes(lanes, Arc::new(Metrics::default()), &dispatch, trial);
    (pool, counters)
}

#[test]
fn a_lane_that_fails_for_good_costs_nobody_an_answer() {
    for good_steps in [0, 1, 7] {
        let (pool, steps) = pool(&[good_steps, u64::MAX]);
        let requests = (0..300).map(|number| (number, request(1 + number % 20)));
        let mut count = 0;
        for (number, answer) in pool.infer_many(requests) {
            assert_eq!(number, count);
            assert!(answer.is_ok(), "{number}: {}", answer.unwrap_err());
            count += 1;
        }
        assert_eq!(count, 300);
        if pool.lane_metrics()[0].is_out() {
            // One step with work in it and two with the trial.
            assert_eq!(steps[0].load(Ordering::Relaxed), good_steps + 3);
        }
        assert!(!pool.lane_metrics()[1].is_out());
    }
}

#[test]
fn a_request_that_fails_everywhere_ends_alone() {
    let (pool, steps) = pool(&[u64::MAX, u64::MAX]);
    let requests = (0..60).map(|number| (number, request(1 + number % 24)));
    for (number, answer) in pool.infer_many(requests) {
        // Two of the tokens are the ends.
        if 1 + number % 24 + 2 == POISON {
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), RequestErrorKind::Device);
            assert!(error.to_string().contains("failed 3 times"), "{error}");
        } else {
            assert!(answer.is_ok(), "{number}: {}", answer.unwrap_err());
        }
    }
    assert!(pool.lane_metrics().iter().all(|lane| !lane.is_out()));
    let steps: u64 = steps.iter().map(|lane| lane.load(Ordering::Relaxed)).sum();
    assert!(steps < 200, "{steps}");
}

#[test]
fn with_no_lane_left_everybody_is_told() {
    let (pool, _) = pool(&[3, 3]);
    let requests = (0..200).map(|number| (number, request(1 + number % 20)));
    let kinds: Vec<_> = pool
        .infer_many(requests)
        .filter_map(|(_, answer)| answer.err().map(|error| error.kind()))
        .collect();
    assert!(!kinds.is_empty());
    assert!(kinds.iter().all(|kind| *kind == RequestErrorKind::NoDevice));
    assert!(pool.submit(request(3)).is_err());
}
