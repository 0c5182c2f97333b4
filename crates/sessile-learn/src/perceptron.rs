//! Training the classifier the way the original does, on the processor.
//!
//! The layers are those of [`MlpClassifier`]; the loss is cross-entropy, the optimiser SGD with
//! momentum, the rate falls by steps, dropout lies behind the hidden layer, and training stops when
//! the loss on the held-out tenth has not fallen for some epochs. Two faults of the original's
//! script are not kept: it "restores" the best weights from a reference that training goes on
//! changing, so it saves the last ones; and it saves nothing when no early stop comes. Here the
//! best weights are kept and always written.
//!
//! A seed fixes everything: the split, the first weights, the order of the samples and what
//! dropout hides.

mod network;

use self::network::Network;
pub use crate::metrics::Metrics;
use crate::random::Random;
use sessile_models::classifier::{Binding, MlpClassifier};
use sessile_models::{ModelError, ModelErrorKind};

/// Samples that can be read in any order.
pub trait Samples {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers of a sample.
    fn width(&self) -> usize;

    /// Whether a sample is a virus.
    fn is_virus(&self, index: usize) -> bool;

    /// Reads the features of a sample.
    ///
    /// # Errors
    ///
    /// When they can not be read.
    fn read(&self, index: usize, features: &mut [f32]) -> Result<(), ModelError>;
}

/// How to train. The defaults are the original's.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// Units of the hidden layer.
    pub hidden: usize,
    /// Samples of a step.
    pub batch: usize,
    /// Most epochs.
    pub epochs: usize,
    /// Learning rate at the start.
    pub rate: f32,
    /// Momentum of SGD.
    pub momentum: f32,
    /// Epochs after which the rate falls.
    pub rate_step: usize,
    /// What it is multiplied with then.
    pub rate_factor: f32,
    /// Share of the hidden units that a step leaves out.
    pub dropout: f32,
    /// Epochs without a better loss after which training stops.
    pub patience: usize,
    /// By how much a loss must be better to count.
    pub min_improvement: f64,
    /// Share of the samples that is held out to judge by.
    pub held_out: f64,
    /// Everything random follows from this.
    pub seed: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        TrainOptions {
            hidden: 512,
            batch: 32,
            epochs: 200,
            rate: 0.0002,
            momentum: 0.9,
            rate_step: 10,
            rate_factor: 0.85,
            dropout: 0.5,
            patience: 5,
            min_improvement: 0.0,
            held_out: 0.1,
            seed: 42,
        }
    }
}

/// What an epoch came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// Its number, from 1.
    pub number: usize,
    /// The learning rate.
    pub rate: f32,
    /// Mean loss of its steps.
    pub train_loss: f64,
    /// How well the held-out samples were told apart after it.
    pub held_out: Metrics,
    /// Whether it is the best one so far.
    pub is_best: bool,
}

/// A trained classifier and how it came to be.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The classifier with the weights of the best epoch.
    pub classifier: MlpClassifier,
    /// The best epoch.
    pub best: Epoch,
    /// Whether the loss stopped falling before the last epoch.
    pub stopped_early: bool,
    /// Samples trained on.
    pub trained_on: usize,
    /// Samples held out.
    pub held_out: usize,
}

/// Trains on `samples`; `watch` is told of every epoch and ends training by returning `false`.
///
/// # Errors
///
/// - `Mismatch`: too few samples, or of one class only; or training went out of bounds.
/// - `Unsupported`: an option that makes no sense.
/// - Whatever reading a sample reports.
pub fn train(
    samples: &dyn Samples,
    options: &TrainOptions,
    mut watch: impl FnMut(&Epoch) -> bool,
) -> Result<Trained, ModelError> {
    check(samples, options)?;
    let mut random = Random::new(options.seed);
    let mut order: Vec<usize> = (0..samples.len()).collect();
    random.shuffle(&mut order);
    let held_out = (samples.len() as f64 * options.held_out) as usize;
    let (judged, trained) = order.split_at_mut(held_out.max(1));
    check_split(samples, judged)?;
    let mut network = Network::new(samples.width(), options, &mut random);
    let mut best: Option<(Epoch, MlpClassifier)> = None;
    let mut without_gain = 0;
    let mut stopped_early = false;
    for number in 1..=options.epochs {
        let falls = (number - 1) / options.rate_step;
        let rate = options.rate * options.rate_factor.powi(falls as i32);
        random.shuffle(trained);
        let train_loss = run_epoch(&mut network, samples, trained, options, rate, &mut random)?;
        let metrics = judge(&mut network, samples, judged, options.batch)?;
        if !train_loss.is_finite() || !metrics.loss.is_finite() {
            return Err(ModelError::new(
                ModelErrorKind::Mismatch,
                format!("the loss of epoch {number} is not finite"),
            )
            .with_hint("use a smaller --rate, and look for extreme numbers in the features"));
        }
        let lowest = best.as_ref().map(|(epoch, _)| epoch.held_out.loss);
        let is_best = lowest.is_none_or(|lowest| metrics.loss < lowest - options.min_improvement);
        let epoch = Epoch {
            number,
            rate,
            train_loss,
            held_out: metrics,
            is_best,
        };
        let goes_on = watch(&epoch);
        if is_best {
            without_gain = 0;
            best = Some((epoch, network.classifier(Binding::default())));
        } else {
            without_gain += 1;
        }
        if without_gain >= options.patience {
            stopped_early = true;
            break;
        }
        if !goes_on {
            break;
        }
    }
    let Some((best, classifier)) = best else {
        return Err(unsupported("training needs at least one epoch"));
    };
    Ok(Trained {
        classifier,
        best,
        stopped_early,
        trained_on: trained.len(),
        held_out: judged.len(),
    })
}

/// Fewer samples can not be split and normalised.
const FEWEST_SAMPLES: usize = 10;

fn check(samples: &dyn Samples, options: &TrainOptions) -> Result<(), ModelError> {
    let TrainOptions {
        hidden,
        batch,
        epochs,
        rate,
        momentum,
        rate_step,
        rate_factor,
        dropout,
        held_out,
        ..
    } = *options;
    if hidden == 0 || batch < 2 || epochs == 0 || rate_step == 0 || options.patience == 0 {
        return Err(unsupported(
            "hidden units, epochs, patience and rate steps must be at least 1, a batch at least 2",
        ));
    }
    let in_bounds = rate > 0.0
        && rate.is_finite()
        && (0.0..1.0).contains(&momentum)
        && rate_factor > 0.0
        && rate_factor <= 1.0
        && (0.0..1.0).contains(&dropout)
        && held_out > 0.0
        && held_out < 1.0;
    if !in_bounds {
        return Err(unsupported(
            "the rate must be positive; momentum, dropout and the held-out share lie between 0 \
             and 1",
        ));
    }
    if samples.len() < FEWEST_SAMPLES {
        return Err(ModelError::new(
            ModelErrorKind::Mismatch,
            format!(
                "{} samples are too few to train on; {FEWEST_SAMPLES} are the least",
                samples.len()
            ),
        ));
    }
    Ok(())
}

/// Both classes must be among the held-out samples, else most metrics mean nothing.
fn check_split(samples: &dyn Samples, judged: &[usize]) -> Result<(), ModelError> {
    let count = |all: &mut dyn Iterator<Item = usize>| {
        all.fold([0_usize; 2], |mut counts, index| {
            counts[usize::from(samples.is_virus(index))] += 1;
            counts
        })
    };
    let [others, virus] = count(&mut (0..samples.len()));
    if others == 0 || virus == 0 {
        return Err(ModelError::new(
            ModelErrorKind::Mismatch,
            format!("there are {virus} samples of viruses and {others} of others"),
        )
        .with_hint("training needs both classes"));
    }
    let [others, virus] = count(&mut judged.iter().copied());
    if others == 0 || virus == 0 {
        return Err(ModelError::new(
            ModelErrorKind::Mismatch,
            format!(
                "the {} held-out samples hold {virus} viruses and {others} others",
                judged.len()
            ),
        )
        .with_hint("give more samples, a larger --held-out, or another --seed"));
    }
    Ok(())
}

fn unsupported(what: &str) -> ModelError {
    ModelError::new(ModelErrorKind::Unsupported, what)
}

fn read_batch(
    samples: &dyn Samples,
    batch: &[usize],
    features: &mut Vec<f32>,
    labels: &mut Vec<usize>,
) -> Result<(), ModelError> {
    let width = samples.width();
    features.resize(batch.len() * width, 0.0);
    labels.clear();
    for (&index, row) in batch.iter().zip(features.chunks_exact_mut(width)) {
        samples.read(index, row)?;
        labels.push(usize::from(samples.is_virus(index)));
    }
    Ok(())
}

/// The batches of an epoch: a lone last sample joins the batch before it, for batch norm has no
/// variance of one.
fn batches(order: &[usize], size: usize) -> impl Iterator<Item = &[usize]> {
    let whole = match order.len() % size {
        1 if order.len() > size => order.len() - size - 1,
        _ => order.len(),
    };
    let (whole, last) = order.split_at(whole);
    whole
        .chunks(size)
        .chain(Some(last).filter(|last| !last.is_empty()))
}

fn run_epoch(
    network: &mut Network,
    samples: &dyn Samples,
    order: &[usize],
    options: &TrainOptions,
    rate: f32,
    random: &mut Random,
) -> Result<f64, ModelError> {
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    let (mut sum, mut steps) = (0.0, 0_u32);
    for batch in batches(order, options.batch) {
        read_batch(samples, batch, &mut features, &mut labels)?;
        sum += network.step(&features, &labels, rate, options, random);
        steps += 1;
    }
    Ok(sum / f64::from(steps.max(1)))
}

fn judge(
    network: &mut Network,
    samples: &dyn Samples,
    judged: &[usize],
    batch: usize,
) -> Result<Metrics, ModelError> {
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    let mut scores = Vec::with_capacity(judged.len());
    let (mut loss, mut steps) = (0.0, 0_u32);
    for batch in judged.chunks(batch) {
        read_batch(samples, batch, &mut features, &mut labels)?;
        loss += network.judge(&features, &labels, &mut scores);
        steps += 1;
    }
    Ok(Metrics::of(&mut scores, loss / f64::from(steps.max(1))))
}
