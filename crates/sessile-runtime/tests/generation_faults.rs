//! Lanes that fail while they write: every text is written once, in order, and is the same as
//! without a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sessile_cpu::{CpuDevice, CpuOptions};
use sessile_device::{
    Buf, DType, Device, DeviceError, DeviceErrorKind, DeviceId, Execution, GenerationSettings,
    LaneSpec, ModelIndex, OutputSet, PackedBatch,
};
use sessile_models::generation::{Caches, Scores, SequenceToSequence, Step};
use sessile_models::{DecoderExecution, DecoderLimits, ModelInfo};
use sessile_runtime::{Dispatch, Fallback, LaneInfo, Metrics, Pool, PoolLane, PoolRequest};

const ARTICLES: usize = 1000;

const LIMITS: DecoderLimits = DecoderLimits {
    rows: 12,
    own_cells: 12 * 60,
    source_cells: 400,
    encode_tokens: 200,
};

type Decoder = Arc<dyn SequenceToSequence<CpuDevice>>;
type Lane = <CpuDevice as Device>::Lane;

/// What goes wrong, by the number of the step on its lane.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Never,
    /// Every so many steps fail once.
    Now(u64),
    /// From this step on every one fails.
    From(u64),
    /// This step panics.
    Panic(u64),
    /// None fails, each takes its time.
    Slow,
}

/// The model with faults. They strike behind the work of a step, when its caches have changed.
struct Faulty {
    inner: Decoder,
    fault: Fault,
    steps: AtomicU64,
    struck: Arc<AtomicU64>,
}

impl Faulty {
    fn strike(&self) -> Result<(), DeviceError> {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        let strikes = match self.fault {
            Fault::Never => false,
            Fault::Slow => {
                std::thread::sleep(std::time::Duration::from_millis(10));
                false
            }
            Fault::Now(every) => step % every == every - 1,
            Fault::From(first) => step >= first,
            Fault::Panic(at) => step == at,
        };
        if !strikes {
            return Ok(());
        }
        self.struck.fetch_add(1, Ordering::Relaxed);
        assert!(!matches!(self.fault, Fault::Panic(_)), "a kernel panics");
        let message = "the step went wrong";
        Err(DeviceError::new(DeviceErrorKind::Misuse, message))
    }
}

impl SequenceToSequence<CpuDevice> for Faulty {
    fn info(&self) -> &ModelInfo {
        self.inner.info()
    }

    fn encode(
        &self,
        lane: &mut Lane,
        batch: &PackedBatch,
        cells: &[u32],
        caches: &Caches,
    ) -> Result<Buf, DeviceError> {
        let states = self.inner.encode(lane, batch, cells, caches)?;
        self.strike().map(|()| states)
    }

    fn decode(&self, lane: &mut Lane, step: &Step, caches: &Caches) -> Result<Scores, DeviceError> {
        let scores = self.inner.decode(lane, step, caches)?;
        self.strike().map(|()| scores)
    }
}

/// The model, and a lane's arena for it.
struct Bench {
    device: CpuDevice,
    model: Decoder,
    requests: Vec<(Vec<u32>, Arc<GenerationSettings>)>,
}

impl Bench {
    fn new() -> Self {
        let files = sessile_models::Model::open(&crate::golden::path("bart/tiny")).unwrap();
        let device = CpuDevice::new(CpuOptions {
            isa: None,
            threads: 1,
        })
        .unwrap();
        let (model, _) = files.load_writer(&device, DType::F32).unwrap();
        // Beams, greedy search and chance, of several lengths.
        let words = [
            "committee",
            "theatre",
            "spring",
            "measured",
            "crowded",
            "did",
        ];
        let requests = (0..25)
            .map(|number| {
                let text: Vec<&str> = (0..3 + number % 7)
                    .map(|word| words[(number * 5 + word * word) % words.len()])
                    .collect();
                let settings = GenerationSettings {
                    num_beams: 1 + number % 3,
                    do_sample: number % 3 == 0,
                    seed: number as u64,
                    min_length: 3,
                    max_length: 8 + number % 6,
                    ..files.settings().unwrap().clone()
                };
                let tokens = files.text_tokenizer().unwrap().encode(&text.join(" "));
                (tokens, Arc::new(settings))
            })
            .collect();
        Bench {
            device,
            model,
            requests,
        }
    }

    fn execution(
        &self,
        fault: Fault,
        limits: DecoderLimits,
        struck: &Arc<AtomicU64>,
    ) -> Box<dyn Execution> {
        let lane = self
            .device
            .lane(&LaneSpec {
                arena_bytes: 64 << 20,
                threads: 1,
            })
            .unwrap();
        let model: Decoder = Arc::new(Faulty {
            inner: Arc::clone(&self.model),
            fault,
            steps: AtomicU64::new(0),
            struck: Arc::clone(struck),
        });
        Box::new(DecoderExecution::new(lane, model, DType::F32, limits).unwrap())
    }

    fn lane(&self, index: usize, fault: Fault, struck: &Arc<AtomicU64>) -> PoolLane {
        let info = LaneInfo {
            device: DeviceId::Cpu,
            index,
            token_budget: LIMITS.source_cells,
        };
        (info, self.execution(fault, LIMITS, struck)).into()
    }

    fn request(&self, number: usize) -> PoolRequest {
        let (tokens, settings) = &self.requests[number % self.requests.len()];
        let mut request = PoolRequest::new(ModelIndex(0), tokens.clone(), OutputSet::default());
        request.generation = Some(Arc::clone(settings));
        request
    }

    /// All articles by these lanes, each with its fault, and what was counted.
    fn write(
        &self,
        faults: &[Fault],
        fallback: Option<Fallback>,
        struck: &Arc<AtomicU64>,
    ) -> (Vec<Vec<u32>>, Arc<Metrics>) {
        let mut lanes: Vec<PoolLane> = (faults.iter().enumerate())
            .map(|(index, &fault)| self.lane(index, fault, struck))
            .collect();
        lanes[0].fallback = fallback;
        let metrics = Arc::new(Metrics::default());
        let dispatch = Dispatch::default();
        let trial = Some(self.request(1));
        let pool = Pool::with_lanes(lanes, Arc::clone(&metrics), &dispatch, trial);
        let requests = (0..ARTICLES).map(|number| (number, self.request(number)));
        let mut answers = Vec::new();
        for (place, (number, answer)) in pool.infer_many(requests).enumerate() {
            assert_eq!(number, place, "in order, each once");
            let output = answer.unwrap_or_else(|error| panic!("{number}: {error}"));
            answers.push(output.generated().unwrap().tokens.clone());
        }
        (answers, metrics)
    }
}

/// The same answers for the same requests, as many as there are articles.
fn repeated(few: &[Vec<u32>]) -> Vec<Vec<u32>> {
    few.iter().cycle().take(ARTICLES).cloned().collect()
}

#[test]
fn a_thousand_articles_are_answered_once_in_order_while_lanes_fail() {
    let bench = Bench::new();
    let struck = Arc::new(AtomicU64::new(0));
    let (calm, metrics) = bench.write(&[Fault::Never], None, &struck);
    assert_eq!(metrics.answered.get(), ARTICLES as u64);
    assert!(
        metrics.in_steps.get() > 4 * metrics.steps.get(),
        "steps are shared"
    );
    assert_eq!(calm, repeated(&calm[..bench.requests.len()]));
    let different: std::collections::HashSet<_> = calm.iter().collect();
    assert!(different.len() > 10, "{}", different.len());

    // One lane stumbles, one panics, one fails for good; what they had goes to the others.
    let faults = [Fault::Now(23), Fault::Panic(60), Fault::From(90)];
    let (answers, metrics) = bench.write(&faults, None, &struck);
    assert_eq!(answers, calm);
    assert_eq!(metrics.answered.get(), ARTICLES as u64);
    assert_eq!(metrics.failed.get(), 0);
    assert_eq!(metrics.lanes_lost.get(), 2);
    assert!(metrics.requeued.get() > 1, "work was given back");
    assert!(struck.load(Ordering::Relaxed) > 10);
}

/// A lane that has no room yet for all it took leaves the rest in the queue: no failure, no count.
#[test]
fn nothing_is_given_back_when_a_batch_is_larger_than_the_instances() {
    let bench = Bench::new();
    let (_, metrics) = bench.write(&[Fault::Never], None, &Arc::default());
    assert_eq!(metrics.answered.get(), ARTICLES as u64);
    assert_eq!(metrics.requeued.get(), 0);
}

#[test]
fn the_last_lane_falls_back_on_one_article_at_a_time() {
    let bench = Bench::new();
    let struck = Arc::new(AtomicU64::new(0));
    let (calm, _) = bench.write(&[Fault::Never], None, &struck);
    let single = DecoderLimits {
        rows: 3,
        own_cells: 3 * 14,
        source_cells: 40,
        encode_tokens: 40,
    };
    for fault in [Fault::Panic(40), Fault::From(40)] {
        let execution = bench.execution(Fault::Now(40), single, &struck);
        let fallback: Fallback = Box::new(move || Ok(execution));
        let (answers, metrics) = bench.write(&[fault], Some(fallback), &struck);
        assert_eq!(answers, calm, "{fault:?}");
        assert_eq!(metrics.answered.get(), ARTICLES as u64);
        assert_eq!((metrics.fallbacks.get(), metrics.lanes_lost.get()), (1, 0));
    }
}

/// Tokens are told once, although a lane was lost after some of them.
#[test]
fn tokens_are_told_once() {
    let bench = Bench::new();
    let struck = Arc::new(AtomicU64::new(0));
    let execution = bench.execution(Fault::Never, LIMITS, &struck);
    let mut lane = bench.lane(0, Fault::Panic(5), &struck);
    lane.fallback = Some(Box::new(move || Ok(execution)));
    let pool = Pool::with_lanes(vec![lane], Arc::default(), &Dispatch::default(), None);
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    // Number 0 is drawn by chance.
    let mut request = bench.request(0);
    request.on_token = Some(sender);
    let written = pool.submit_waiting(request).wait().unwrap();
    let written = written.generated().unwrap().tokens.clone();
    let mut tokens = Vec::new();
    while let Some(token) = told.blocking_recv() {
        tokens.push(token);
    }
    assert_eq!(struck.load(Ordering::Relaxed), 1);
    assert_eq!(tokens, written[1..written.len() - 1]);
}

/// Nobody waits for it: the lane goes on with the others.
#[test]
fn what_nobody_waits_for_is_given_up() {
    let bench = Bench::new();
    let struck = Arc::new(AtomicU64::new(0));
    let metrics = Arc::new(Metrics::default());
    let lane = LaneInfo {
        device: DeviceId::Cpu,
        index: 0,
        token_budget: LIMITS.source_cells,
    };
    let pool = Pool::from_executions(
        vec![(lane, bench.execution(Fault::Slow, LIMITS, &struck))],
        Arc::clone(&metrics),
    );
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut request = bench.request(0);
    let settings = GenerationSettings {
        min_length: 640,
        max_length: 640,
        ..(**request.generation.as_ref().unwrap()).clone()
    };
    request.generation = Some(Arc::new(settings));
    request.on_token = Some(sender);
    let pending = pool.submit_waiting(request);
    // It is in progress once it has told a token.
    told.blocking_recv().unwrap();
    drop(pending);
    assert!(pool.submit_waiting(bench.request(1)).wait().is_ok());
    while told.blocking_recv().is_some() {}
    assert_eq!((metrics.dropped.get(), metrics.answered.get()), (1, 1));
}
