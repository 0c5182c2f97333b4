//! The classifier of viral sequences on this machine's processor.
//!
//! It is small beside the language models (1.7 million weights), so it needs no queue: its weights
//! are packed once, and every thread that classifies has a lane of its own.

use std::sync::Arc;

use sessile_cpu::{CpuDevice, CpuOptions, Isa};
use sessile_device::{Device, LaneSpec};
use sessile_models::classifier::{Arithmetic, MlpClassifier, ResidentClassifier, softmax};

use crate::error::RuntimeError;

/// From this many weights on the time of a row is that of its products; below, f32 costs nothing.
const SPLIT_WEIGHTS: usize = 1 << 18;

/// A resident classifier. Cloning shares the weights.
#[derive(Clone)]
pub struct Classifier {
    device: CpuDevice,
    resident: Arc<ResidentClassifier<CpuDevice>>,
}

impl Classifier {
    /// Packs the weights.
    ///
    /// # Errors
    ///
    /// `Option` when `SESSILE_ISA` names something that this machine does not have, `Device` when
    /// the weights do not fit.
    pub fn load(classifier: &MlpClassifier) -> Result<Self, RuntimeError> {
        let device = CpuDevice::new(CpuOptions {
            isa: None,
            threads: 1,
        })?;
        // 2 cores of 2.1 GHz score 45,000 rows of 3,328 a second in f32, near their peak.
        let arithmetic = match device.isa() {
            Isa::Amx if classifier.width() * classifier.hidden() >= SPLIT_WEIGHTS => {
                Arithmetic::SplitBf16
            }
            _ => Arithmetic::F32,
        };
        Self::on(device, classifier, arithmetic)
    }

    /// The same in the arithmetic given.
    ///
    /// # Errors
    ///
    /// As [`Classifier::load`].
    pub fn with_arithmetic(
        classifier: &MlpClassifier,
        arithmetic: Arithmetic,
    ) -> Result<Self, RuntimeError> {
        let device = CpuDevice::new(CpuOptions {
            isa: None,
            threads: 1,
        })?;
        Self::on(device, classifier, arithmetic)
    }

    fn on(
        device: CpuDevice,
        classifier: &MlpClassifier,
        arithmetic: Arithmetic,
    ) -> Result<Self, RuntimeError> {
        let resident = Arc::new(ResidentClassifier::load(&device, classifier, arithmetic)?);
        Ok(Classifier { device, resident })
    }

    /// Numbers in a feature vector.
    pub fn width(&self) -> usize {
        self.resident.width()
    }

    /// A lane for one thread.
    ///
    /// # Errors
    ///
    /// When its workspace can not be had.
    pub fn lane(&self) -> Result<ClassifierLane, RuntimeError> {
        let spec = LaneSpec {
            arena_bytes: self
                .resident
                .arena_bytes(&self.device, ClassifierLane::ROWS),
            threads: 1,
        };
        Ok(ClassifierLane {
            lane: self.device.lane(&spec)?,
            resident: Arc::clone(&self.resident),
            scratch: Vec::new(),
            logits: Vec::new(),
        })
    }
}

/// A lane that classifies.
pub struct ClassifierLane {
    lane: <CpuDevice as Device>::Lane,
    resident: Arc<ResidentClassifier<CpuDevice>>,
    scratch: Vec<f32>,
    logits: Vec<[f32; 2]>,
}

impl ClassifierLane {
    /// Rows that a lane takes at once: features of the published sizes fill 1.7 MB then, which
    /// stays in the nearer caches, and the weights are not read too often.
    pub const ROWS: usize = 128;

    /// Appends the probabilities of *others* and *virus* for every row of `features`.
    ///
    /// What a row gets does not depend on the rows around it.
    ///
    /// # Errors
    ///
    /// Whatever the device reports.
    ///
    /// # Panics
    ///
    /// When `features` is not a whole number of rows.
    pub fn probabilities(
        &mut self,
        features: &[f32],
        out: &mut Vec<[f32; 2]>,
    ) -> Result<(), RuntimeError> {
        for block in features.chunks(Self::ROWS * self.resident.width()) {
            self.logits.clear();
            let (lane, scratch) = (&mut self.lane, &mut self.scratch);
            self.resident
                .logits(lane, block, scratch, &mut self.logits)?;
            out.extend(self.logits.iter().map(|&pair| softmax(pair)));
        }
        Ok(())
    }
}
