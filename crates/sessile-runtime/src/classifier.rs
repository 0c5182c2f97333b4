//! The classifier of viral sequences on this machine's processor.
//!
//! It is small beside the language models (1.7 million weights), so it needs no queue: its weights
//! are packed once, and every thread that classifies has a lane of its own.

use std::sync::Arc;

use sessile_cpu::{CpuDevice, CpuOptions};
use sessile_device::{Device, LaneSpec};
use sessile_models::classifier::{MlpClassifier, ResidentClassifier, softmax};

use crate::error::RuntimeError;

/// Rows that a lane takes at once: features of the published sizes fill 3.4 MB then, which stays
/// in the caches while the weights pass.
const ROWS: usize = 256;

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
        let resident = Arc::new(ResidentClassifier::load(&device, classifier)?);
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
            arena_bytes: self.resident.arena_bytes(&self.device, ROWS),
            threads: 1,
        };
        Ok(ClassifierLane {
            lane: self.device.lane(&spec)?,
            resident: Arc::clone(&self.resident),
            logits: Vec::new(),
        })
    }
}

/// A lane that classifies.
pub struct ClassifierLane {
    lane: <CpuDevice as Device>::Lane,
    resident: Arc<ResidentClassifier<CpuDevice>>,
    logits: Vec<f32>,
}

impl ClassifierLane {
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
        for block in features.chunks(ROWS * self.resident.width()) {
            self.resident
                .logits(&mut self.lane, block, &mut self.logits)?;
            let (pairs, _) = self.logits.as_chunks::<2>();
            out.extend(pairs.iter().map(|&pair| softmax(pair)));
        }
        Ok(())
    }
}
