//! Lanes of the small model that fail when they are told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sessile_cpu::{CpuDevice, CpuOptions};
use sessile_device::{
    Admission, DType, Device, DeviceError, DeviceErrorKind, DeviceId, Event, Execution, LaneSpec,
    ModelIndex, OutputKind, OutputSet, Request, RequestId,
};
use sessile_models::EncoderExecution;
use sessile_runtime::{Dispatch, LaneInfo, Metrics, Pool, PoolRequest, RuntimeError};
use sessile_server::{Engine, ServedModel, ServiceOptions};

use crate::running::{PATIENCE, Running, options, pool_options, tiny};

/// What is done to a lane.
#[derive(Default)]
pub struct Switch {
    pub fails: AtomicBool,
    pub is_lost: AtomicBool,
    pub hangs: AtomicBool,
    /// It does, in the midst of a step.
    pub is_hanging: AtomicBool,
    /// Milliseconds that every step takes longer.
    pub delay: AtomicU64,
    /// Requests that reached the device.
    pub admitted: AtomicU64,
}

/// A lane that fails when it is told to.
struct Faulty {
    inner: Box<dyn Execution>,
    switch: Arc<Switch>,
}

impl Execution for Faulty {
    fn admit(&mut self, request: Request) -> Admission {
        self.switch.admitted.fetch_add(1, Ordering::Relaxed);
        self.inner.admit(request)
    }

    fn step(&mut self, events: &mut Vec<(RequestId, Event)>) -> Result<(), DeviceError> {
        let delay = self.switch.delay.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(delay));
        // A test that fails must not leave its lane behind.
        let begun = Instant::now();
        while self.switch.hangs.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE / 2 {
            self.switch.is_hanging.store(true, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(10));
        }
        self.switch.is_hanging.store(false, Ordering::Relaxed);
        if self.switch.is_lost.load(Ordering::Relaxed) {
            let message = "the device fell off the bus";
            return Err(DeviceError::new(DeviceErrorKind::Lost, message));
        }
        if self.switch.fails.load(Ordering::Relaxed) {
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

/// The small model on lanes with these switches.
pub fn engine(switches: &[Arc<Switch>]) -> Result<Engine, RuntimeError> {
    const BUDGET: usize = 512;
    let files = tiny();
    let device = CpuDevice::new(CpuOptions {
        isa: None,
        threads: switches.len(),
    })?;
    let (model, _) = files.load(&device, DType::F32, 1026)?;
    let outputs = OutputSet::default().with(OutputKind::Mean);
    let options = sessile_runtime::PoolOptions {
        outputs: sessile_server::OUTPUTS.into_iter().collect(),
        ..pool_options()
    };
    let workspace = sessile_runtime::plan_pool(&[tiny()], &options)?[0].workspace_bytes;
    let mut lanes: Vec<(LaneInfo, Box<dyn Execution>)> = Vec::new();
    for (index, switch) in switches.iter().enumerate() {
        let lane = device.lane(&LaneSpec {
            arena_bytes: workspace as usize,
            threads: 1,
        })?;
        let inner = EncoderExecution::<CpuDevice>::new(lane, vec![Arc::clone(&model)], BUDGET);
        let info = LaneInfo {
            device: DeviceId::Cpu,
            index,
            token_budget: BUDGET,
        };
        let faulty = Faulty {
            inner: Box::new(inner),
            switch: Arc::clone(switch),
        };
        lanes.push((info, Box::new(faulty)));
    }
    let tokens = files.tokenizer().encode(b"M").tokens;
    let trial = PoolRequest::new(ModelIndex(0), tokens, outputs);
    let metrics = Arc::new(Metrics::default());
    let dispatch = Dispatch {
        queue_tokens: Some(4 * BUDGET),
        ..Dispatch::default()
    };
    Ok(Engine {
        pool: Pool::with_lanes(lanes, metrics, &dispatch, Some(trial)),
        models: vec![ServedModel {
            name: files.name().to_owned(),
            index: ModelIndex(0),
            info: model.info().clone(),
            tokenizer: files.tokenizer().clone(),
        }],
        writer: None,
    })
}

pub fn quick() -> ServiceOptions {
    ServiceOptions {
        probe_interval: Duration::from_millis(100),
        probe_timeout: Duration::from_millis(1500),
        ..options()
    }
}

pub fn start(switches: &[Arc<Switch>], options: ServiceOptions) -> Running {
    let switches = switches.to_vec();
    let service = Running::start(options, move || engine(&switches));
    service.wait_ready();
    service
}

pub fn switches(count: usize) -> Vec<Arc<Switch>> {
    (0..count).map(|_| Arc::default()).collect()
}
