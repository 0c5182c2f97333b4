//! The network while it learns: forward, backward and the step of the optimiser.
//!
//! Matrices are `[samples, units]`, row by row. The products are those of `ndarray`; everything
//! between them is written out, with the names of the forward pass (`d_x` is the derivative of the
//! loss by `x`).

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use sessile_device::HostTensor;

use super::TrainOptions;
use crate::metrics::Judged;
use crate::random::Random;
use sessile_models::classifier::{Binding, CLASSES, MlpClassifier, NORM_EPSILON, softmax};

/// Share of a batch in the running statistics: `torch.nn.BatchNorm1d`'s momentum.
const STATISTICS_MOMENTUM: f32 = 0.1;

const OUT: usize = CLASSES.len();

/// Numbers that are learnt, with their gradient and velocity.
struct Learnt {
    value: Vec<f32>,
    gradient: Vec<f32>,
    velocity: Vec<f32>,
}

impl Learnt {
    fn new(value: Vec<f32>) -> Self {
        Learnt {
            gradient: vec![0.0; value.len()],
            velocity: vec![0.0; value.len()],
            value,
        }
    }

    fn uniform(len: usize, bound: f32, random: &mut Random) -> Self {
        Learnt::new((0..len).map(|_| random.symmetric(bound)).collect())
    }

    fn step(&mut self, rate: f32, momentum: f32) {
        let parts = self.value.iter_mut().zip(&mut self.velocity);
        for ((value, velocity), &gradient) in parts.zip(&self.gradient) {
            *velocity = momentum * *velocity + gradient;
            *value -= rate * *velocity;
        }
    }
}

pub(super) struct Network {
    width: usize,
    units: usize,
    hidden_weight: Learnt,
    hidden_bias: Learnt,
    gain: Learnt,
    shift: Learnt,
    output_weight: Learnt,
    output_bias: Learnt,
    running_mean: Vec<f32>,
    running_variance: Vec<f32>,
    batches: i64,
    work: Work,
}

/// The intermediate values of a batch, whose memory is used again.
#[derive(Default)]
struct Work {
    /// Hidden layer before the norm, then normalised.
    normed: Vec<f32>,
    /// What goes on to the output layer: after ReLU and dropout.
    active: Vec<f32>,
    /// By what dropout multiplied.
    mask: Vec<f32>,
    logits: Vec<f32>,
    /// 1 / standard deviation of each unit.
    inverse: Vec<f32>,
    d_logits: Vec<f32>,
    d_hidden: Vec<f32>,
}

impl Network {
    /// First weights as the original makes them: Xavier's for the weights (Glorot and Bengio,
    /// 2010), torch's default for the biases.
    pub(super) fn new(width: usize, options: &TrainOptions, random: &mut Random) -> Self {
        let units = options.hidden;
        let xavier = |inputs: usize, outputs: usize| (6.0 / (inputs + outputs) as f32).sqrt();
        let bias = |inputs: usize| 1.0 / (inputs as f32).sqrt();
        Network {
            width,
            units,
            hidden_weight: Learnt::uniform(units * width, xavier(width, units), random),
            hidden_bias: Learnt::uniform(units, bias(width), random),
            gain: Learnt::new(vec![1.0; units]),
            shift: Learnt::new(vec![0.0; units]),
            output_weight: Learnt::uniform(OUT * units, xavier(units, OUT), random),
            output_bias: Learnt::uniform(OUT, bias(units), random),
            running_mean: vec![0.0; units],
            running_variance: vec![1.0; units],
            batches: 0,
            work: Work::default(),
        }
    }

    /// Learns from one batch and gives its loss.
    pub(super) fn step(
        &mut self,
        features: &[f32],
        labels: &[usize],
        rate: f32,
        options: &TrainOptions,
        random: &mut Random,
    ) -> f64 {
        self.hidden(features, labels.len());
        self.norm_batch();
        self.activate(|| {
            let kept = 1.0 - options.dropout;
            if random.unit() < options.dropout {
                0.0
            } else {
                1.0 / kept
            }
        });
        self.output(labels.len());
        let loss = self.loss(labels, None);
        self.backward(features, labels);
        let Network {
            hidden_weight,
            hidden_bias,
            gain,
            shift,
            output_weight,
            output_bias,
            ..
        } = self;
        for learnt in [
            hidden_weight,
            hidden_bias,
            gain,
            shift,
            output_weight,
            output_bias,
        ] {
            learnt.step(rate, options.momentum);
        }
        loss
    }

    /// Scores a batch with the running statistics and gives its loss.
    pub(super) fn judge(
        &mut self,
        features: &[f32],
        labels: &[usize],
        scores: &mut Vec<Judged>,
    ) -> f64 {
        self.hidden(features, labels.len());
        for row in self.work.normed.chunks_exact_mut(self.units) {
            for (unit, value) in row.iter_mut().enumerate() {
                let deviation = (self.running_variance[unit] + NORM_EPSILON).sqrt();
                *value = (*value - self.running_mean[unit]) / deviation;
            }
        }
        self.activate(|| 1.0);
        self.output(labels.len());
        self.loss(labels, Some(scores))
    }

    /// `normed = features · Wᵀ + bias`, not normed yet.
    fn hidden(&mut self, features: &[f32], samples: usize) {
        let normed = &mut self.work.normed;
        normed.resize(samples * self.units, 0.0);
        for row in normed.chunks_exact_mut(self.units) {
            row.copy_from_slice(&self.hidden_bias.value);
        }
        let weight = matrix(&self.hidden_weight.value, self.units, self.width);
        let out = matrix_mut(normed, samples, self.units);
        add_product(
            matrix(features, samples, self.width),
            weight.reversed_axes(),
            out,
        );
    }

    /// Batch norm with the batch's own statistics, which go into the running ones.
    fn norm_batch(&mut self) {
        let (units, work) = (self.units, &mut self.work);
        let samples = (work.normed.len() / units) as f32;
        let mut mean = vec![0.0; units];
        add_columns(&mut mean, &work.normed, |value| value);
        mean.iter_mut().for_each(|sum| *sum /= samples);
        let mut variance = vec![0.0; units];
        for row in work.normed.chunks_exact_mut(units) {
            for ((value, &mean), sum) in row.iter_mut().zip(&mean).zip(&mut variance) {
                *value -= mean;
                *sum += *value * *value;
            }
        }
        work.inverse.clear();
        for (unit, (sum, mean)) in variance.iter().zip(mean).enumerate() {
            let deviation = (sum / samples + NORM_EPSILON).sqrt();
            work.inverse.push(1.0 / deviation);
            // The running variance is that of a sample, without bias, as torch keeps it.
            let unbiased = sum / (samples - 1.0);
            blend(&mut self.running_mean[unit], mean);
            blend(&mut self.running_variance[unit], unbiased);
        }
        for row in work.normed.chunks_exact_mut(units) {
            for (value, inverse) in row.iter_mut().zip(&work.inverse) {
                *value *= inverse;
            }
        }
        self.batches += 1;
    }

    /// `active = relu(gain × normed + shift) × mask`.
    fn activate(&mut self, mut mask: impl FnMut() -> f32) {
        let work = &mut self.work;
        work.mask.clear();
        work.mask.extend(work.normed.iter().map(|_| mask()));
        work.active.resize(work.normed.len(), 0.0);
        let rows = work.active.chunks_exact_mut(self.units);
        let rows = rows.zip(work.normed.chunks_exact(self.units));
        for ((active, normed), mask) in rows.zip(work.mask.chunks_exact(self.units)) {
            for (unit, active) in active.iter_mut().enumerate() {
                let value = self.gain.value[unit] * normed[unit] + self.shift.value[unit];
                *active = value.max(0.0) * mask[unit];
            }
        }
    }

    fn output(&mut self, samples: usize) {
        let work = &mut self.work;
        work.logits.resize(samples * OUT, 0.0);
        for row in work.logits.chunks_exact_mut(OUT) {
            row.copy_from_slice(&self.output_bias.value);
        }
        let weight = matrix(&self.output_weight.value, OUT, self.units);
        let out = matrix_mut(&mut work.logits, samples, OUT);
        add_product(
            matrix(&work.active, samples, self.units),
            weight.reversed_axes(),
            out,
        );
    }

    /// Mean cross-entropy; its derivative by the logits goes to `d_logits`.
    fn loss(&mut self, labels: &[usize], mut scores: Option<&mut Vec<Judged>>) -> f64 {
        let work = &mut self.work;
        work.d_logits.clear();
        let mut loss = 0.0;
        for (row, &label) in work.logits.chunks_exact(OUT).zip(labels) {
            let [others, virus] = [row[0], row[1]];
            let scaled = softmax([others, virus]);
            // log-sum-exp: a probability may round to zero, its logarithm must not be infinite.
            let (largest, least) = (others.max(virus), others.min(virus));
            let log_sum = f64::from(largest) + f64::from(least - largest).exp().ln_1p();
            loss += log_sum - f64::from(row[label]);
            for (class, probability) in scaled.into_iter().enumerate() {
                let target = if class == label { 1.0 } else { 0.0 };
                work.d_logits
                    .push((probability - target) / labels.len() as f32);
            }
            if let Some(scores) = &mut scores {
                scores.push(Judged {
                    score: scaled[1],
                    is_positive: label == 1,
                    called_positive: virus > others,
                });
            }
        }
        loss / labels.len() as f64
    }

    /// All gradients from `d_logits`.
    fn backward(&mut self, features: &[f32], labels: &[usize]) {
        let (samples, units) = (labels.len(), self.units);
        let work = &mut self.work;
        let d_logits = matrix(&work.d_logits, samples, OUT);
        self.output_bias.gradient.fill(0.0);
        add_columns(&mut self.output_bias.gradient, &work.d_logits, |value| {
            value
        });
        self.output_weight.gradient.fill(0.0);
        add_product(
            d_logits.reversed_axes(),
            matrix(&work.active, samples, units),
            matrix_mut(&mut self.output_weight.gradient, OUT, units),
        );
        work.d_hidden.clear();
        work.d_hidden.resize(samples * units, 0.0);
        add_product(
            d_logits,
            matrix(&self.output_weight.value, OUT, units),
            matrix_mut(&mut work.d_hidden, samples, units),
        );
        // Through dropout and ReLU: an inactive unit passes nothing on.
        for ((d, &active), &mask) in work.d_hidden.iter_mut().zip(&work.active).zip(&work.mask) {
            *d = if active > 0.0 { *d * mask } else { 0.0 };
        }
        self.shift.gradient.fill(0.0);
        add_columns(&mut self.shift.gradient, &work.d_hidden, |value| value);
        self.gain.gradient.fill(0.0);
        let rows = work.d_hidden.chunks_exact(units);
        for (d, normed) in rows.zip(work.normed.chunks_exact(units)) {
            for ((sum, d), normed) in self.gain.gradient.iter_mut().zip(d).zip(normed) {
                *sum += d * normed;
            }
        }
        // Through the norm: the mean and the variance depend on every sample of the batch.
        let rows = work.d_hidden.chunks_exact_mut(units);
        for (d, normed) in rows.zip(work.normed.chunks_exact(units)) {
            for (unit, d) in d.iter_mut().enumerate() {
                let own = *d * samples as f32;
                let shared = self.shift.gradient[unit] + normed[unit] * self.gain.gradient[unit];
                let scale = self.gain.value[unit] * work.inverse[unit] / samples as f32;
                *d = scale * (own - shared);
            }
        }
        self.hidden_bias.gradient.fill(0.0);
        add_columns(&mut self.hidden_bias.gradient, &work.d_hidden, |value| {
            value
        });
        self.hidden_weight.gradient.fill(0.0);
        add_product(
            matrix(&work.d_hidden, samples, units).reversed_axes(),
            matrix(features, samples, self.width),
            matrix_mut(&mut self.hidden_weight.gradient, units, self.width),
        );
    }

    /// The network as it is now.
    pub(super) fn classifier(&self, binding: Binding) -> MlpClassifier {
        MlpClassifier {
            hidden_weight: HostTensor::new(
                vec![self.units, self.width],
                self.hidden_weight.value.clone(),
            ),
            hidden_bias: self.hidden_bias.value.clone(),
            norm_gain: self.gain.value.clone(),
            norm_shift: self.shift.value.clone(),
            norm_mean: self.running_mean.clone(),
            norm_variance: self.running_variance.clone(),
            norm_batches: self.batches,
            output_weight: HostTensor::new(vec![OUT, self.units], self.output_weight.value.clone()),
            output_bias: self.output_bias.value.clone(),
            binding,
        }
    }
}

fn blend(running: &mut f32, new: f32) {
    *running += STATISTICS_MOMENTUM * (new - *running);
}

/// Adds the rows of `values` up, column by column.
fn add_columns(sums: &mut [f32], values: &[f32], of: impl Fn(f32) -> f32) {
    for row in values.chunks_exact(sums.len()) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += of(value);
        }
    }
}

fn matrix(data: &[f32], rows: usize, cols: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((rows, cols), data).expect("the sizes were made together")
}

fn matrix_mut(data: &mut [f32], rows: usize, cols: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((rows, cols), data).expect("the sizes were made together")
}

/// `out = out + a · b`.
fn add_product(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>, mut out: ArrayViewMut2<'_, f32>) {
    general_mat_mul(1.0, &a, &b, 1.0, &mut out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradients against differences of the loss, without dropout.
    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        let options = TrainOptions {
            hidden: 5,
            dropout: 0.0,
            ..TrainOptions::default()
        };
        let mut random = Random::new(3);
        let (width, samples) = (4, 7);
        let features: Vec<f32> = (0..width * samples)
            .map(|_| random.symmetric(2.0))
            .collect();
        let labels: Vec<usize> = (0..samples).map(|sample| sample % 2).collect();
        let mut network = Network::new(width, &options, &mut random);
        let loss = |network: &mut Network| {
            network.hidden(&features, samples);
            network.norm_batch();
            network.activate(|| 1.0);
            network.output(samples);
            network.loss(&labels, None)
        };
        loss(&mut network);
        network.backward(&features, &labels);
        type Part = fn(&mut Network) -> &mut Learnt;
        let parts: [(&str, Part); 5] = [
            ("hidden weight", |network| &mut network.hidden_weight),
            ("gain", |network| &mut network.gain),
            ("shift", |network| &mut network.shift),
            ("output weight", |network| &mut network.output_weight),
            ("output bias", |network| &mut network.output_bias),
        ];
        for (name, part) in parts {
            for index in 0..part(&mut network).value.len() {
                let gradient = part(&mut network).gradient[index];
                let step = 1e-2;
                part(&mut network).value[index] += step;
                let above = loss(&mut network);
                part(&mut network).value[index] -= 2.0 * step;
                let below = loss(&mut network);
                part(&mut network).value[index] += step;
                let slope = (above - below) / f64::from(2.0 * step);
                assert!(
                    (slope - f64::from(gradient)).abs() < 2e-3,
                    "{name} {index}: {gradient} beside {slope}"
                );
            }
        }
    }
}
