//! The classifier of viral sequences: a perceptron with one hidden layer over the embeddings of a
//! frame's nucleotides and of its protein.
//!
//! It is VirNucPro's `MLPClassifier`: linear, batch norm (with running statistics), ReLU, linear,
//! softmax over *others* and *virus*. Its weights say nothing of the chunk length and the models
//! it was trained with, and scores for any other are worthless; a [`Binding`] carries both, and
//! what does not fit is refused.

mod binding;
mod load;
mod resident;
mod save;

pub use binding::Binding;
pub use resident::{Arithmetic, ResidentClassifier};
pub use save::ClassifierFormat;

use sessile_device::HostTensor;

/// The labels by class, as the original writes them.
pub const CLASSES: [&str; 2] = ["others", "virus"];

/// Added to the variance by `torch.nn.BatchNorm1d`.
pub const NORM_EPSILON: f32 = 1e-5;

/// The parameters of a classifier, in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpClassifier {
    /// `[hidden, width]`.
    pub hidden_weight: HostTensor,
    /// `[hidden]`.
    pub hidden_bias: Vec<f32>,
    /// Batch norm's gain, `[hidden]`.
    pub norm_gain: Vec<f32>,
    /// Batch norm's shift, `[hidden]`.
    pub norm_shift: Vec<f32>,
    /// The running mean, `[hidden]`.
    pub norm_mean: Vec<f32>,
    /// The running variance, `[hidden]`.
    pub norm_variance: Vec<f32>,
    /// Batches that the running statistics saw.
    pub norm_batches: i64,
    /// `[2, hidden]`.
    pub output_weight: HostTensor,
    /// `[2]`.
    pub output_bias: Vec<f32>,
    /// What it was trained for.
    pub binding: Binding,
}

impl MlpClassifier {
    /// Numbers in a feature vector.
    pub fn width(&self) -> usize {
        self.hidden_weight.shape[1]
    }

    /// Units of the hidden layer.
    pub fn hidden(&self) -> usize {
        self.hidden_weight.shape[0]
    }

    /// A hash of all weights, in hexadecimal, whatever file they came from.
    pub fn content_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in [
            &self.hidden_weight.data,
            &self.hidden_bias,
            &self.norm_gain,
            &self.norm_shift,
            &self.norm_mean,
            &self.norm_variance,
            &self.output_weight.data,
            &self.output_bias,
        ] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            for value in part {
                hasher.update(&value.to_le_bytes());
            }
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// The hidden layer with batch norm folded into it: `norm(x · Wᵀ + b)` is
    /// `x · (sW)ᵀ + s(b − mean) + shift` with `s = gain / sqrt(variance + ε)`.
    pub(crate) fn folded(&self) -> (HostTensor, Vec<f32>) {
        let width = self.width();
        let mut weight = self.hidden_weight.data.clone();
        let mut bias = Vec::with_capacity(self.hidden());
        for (unit, row) in weight.chunks_exact_mut(width).enumerate() {
            let deviation = f64::from(self.norm_variance[unit]) + f64::from(NORM_EPSILON);
            let scale = f64::from(self.norm_gain[unit]) / deviation.sqrt();
            for value in row {
                *value = (f64::from(*value) * scale) as f32;
            }
            let centred = f64::from(self.hidden_bias[unit]) - f64::from(self.norm_mean[unit]);
            bias.push((scale * centred + f64::from(self.norm_shift[unit])) as f32);
        }
        let shape = self.hidden_weight.shape.clone();
        (HostTensor::new(shape, weight), bias)
    }
}

/// The probabilities of both classes from their logits.
///
/// # Examples
///
/// ```
/// use sessile_models::classifier::softmax;
///
/// assert_eq!(softmax([1.0, 1.0]), [0.5, 0.5]);
/// assert!(softmax([0.0, 200.0])[1] > 0.999);
/// ```
pub fn softmax([others, virus]: [f32; 2]) -> [f32; 2] {
    let largest = others.max(virus);
    let [a, b] = [others, virus].map(|logit| f64::from(logit - largest).exp());
    [(a / (a + b)) as f32, (b / (a + b)) as f32]
}
