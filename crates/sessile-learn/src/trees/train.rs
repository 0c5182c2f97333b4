//! Growing trees by histograms, as XGBoost's `hist` does.
//!
//! Every feature is cut into at most [`TrainOptions::bins`] bins; with fewer distinct values the
//! cuts are these values, and the splits are then XGBoost's own. A round fits one tree to the first
//! and second derivatives of the logistic loss, level by level: the histogram of the smaller of two
//! siblings is summed, the other is what is left of their parent's. Rows whose feature is missing
//! go where the objective falls more.
//!
//! The order of all sums is fixed, whatever the number of threads.

mod bins;
mod grow;

use self::bins::Bins;
use self::grow::Grower;
use super::{BEST_ITERATION, BoostedTrees, Tree, logistic};
use crate::metrics::{Judged, Metrics};
use crate::random::Random;
use sessile_models::{ModelError, ModelErrorKind};

/// Rows with their labels.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    width: usize,
    /// Row by row; `NaN` where a value is missing.
    values: Vec<f32>,
    labels: Vec<bool>,
}

impl Samples {
    /// No rows yet, of `width` features each.
    pub fn new(width: usize) -> Self {
        Samples {
            width,
            ..Samples::default()
        }
    }

    /// Adds a row. What is beyond the width is left out, what is short of it is missing.
    pub fn push(&mut self, row: &[f32], is_positive: bool) {
        let values = (0..self.width).map(|place| row.get(place).copied().unwrap_or(f32::NAN));
        self.values.extend(values);
        self.labels.push(is_positive);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Features of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// A row.
    pub fn row(&self, place: usize) -> &[f32] {
        &self.values[place * self.width..][..self.width]
    }

    /// Whether a row is of the positive class.
    pub fn is_positive(&self, place: usize) -> bool {
        self.labels[place]
    }

    /// Rows of the positive class.
    pub fn positives(&self) -> usize {
        self.labels.iter().filter(|&&label| label).count()
    }

    /// Takes a share of the rows out, drawn by `seed`: what is left and what was taken, each in
    /// their order. Of n rows ⌊n × share⌋ are taken.
    pub fn split(self, share: f64, seed: u64) -> (Self, Self) {
        let taken = (self.len() as f64 * share) as usize;
        let mut order: Vec<usize> = (0..self.len()).collect();
        Random::new(seed).shuffle(&mut order);
        let mut is_taken = vec![false; self.len()];
        for &place in &order[..taken.min(self.len())] {
            is_taken[place] = true;
        }
        self.part(|place| is_taken[place])
    }

    /// The rows that are not taken and those that are, each in their order.
    pub fn part(self, is_taken: impl Fn(usize) -> bool) -> (Self, Self) {
        let (mut left, mut out) = (Samples::new(self.width), Samples::new(self.width));
        for (place, &label) in self.labels.iter().enumerate() {
            let side = if is_taken(place) { &mut out } else { &mut left };
            side.push(self.row(place), label);
        }
        (left, out)
    }
}

/// Draws `count` of `total` things by `seed`, in random order.
pub fn draw(total: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..total).collect();
    Random::new(seed).shuffle(&mut order);
    order.truncate(count);
    order
}

/// How to grow trees; the names that XGBoost has for these numbers stand beside them.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// Trees, at most (`num_boost_round`).
    pub rounds: usize,
    /// Splits between root and leaf, at most (`max_depth`).
    pub depth: usize,
    /// What of a leaf's number counts (`eta`).
    pub rate: f32,
    /// Added to the second derivatives (`lambda`).
    pub lambda: f32,
    /// What a split must lower the objective by (`gamma`).
    pub min_gain: f32,
    /// Second derivatives that a child must have (`min_child_weight`).
    pub min_child_weight: f32,
    /// Bins of a feature (`max_bin`).
    pub bins: usize,
    /// How often a positive row counts (`scale_pos_weight`).
    pub positive_weight: f32,
    /// Stop when the validation loss has not fallen for so many rounds
    /// (`early_stopping_rounds`).
    pub patience: Option<usize>,
    /// Threads that sum histograms.
    pub threads: usize,
}

impl Default for TrainOptions {
    /// The settings of genome_entropy 0.1.10: 100 rounds, depth 6, rate 0.1; else XGBoost's.
    fn default() -> Self {
        TrainOptions {
            rounds: 100,
            depth: 6,
            rate: 0.1,
            lambda: 1.0,
            min_gain: 0.0,
            min_child_weight: 1.0,
            bins: 256,
            positive_weight: 1.0,
            patience: None,
            threads: 1,
        }
    }
}

/// Deeper trees are refused: 2²⁰ leaves hold more than there are rows.
const MAX_DEPTH: usize = 20;

/// Bins are numbered by 16 bits.
const MAX_BINS: usize = 65_534;

impl TrainOptions {
    fn check(&self) -> Result<(), ModelError> {
        let positive = |value: f32| value.is_finite() && value > 0.0;
        let not_negative = |value: f32| value.is_finite() && value >= 0.0;
        let complaints = [
            (self.rounds >= 1, "rounds must be at least 1"),
            (
                (1..=MAX_DEPTH).contains(&self.depth),
                "the depth must lie between 1 and 20",
            ),
            (positive(self.rate), "the rate must be above 0"),
            (not_negative(self.lambda), "lambda must not be below 0"),
            (
                not_negative(self.min_gain),
                "the least gain must not be below 0",
            ),
            (
                not_negative(self.min_child_weight),
                "the least weight of a child must not be below 0",
            ),
            (
                (2..=MAX_BINS).contains(&self.bins),
                "bins must lie between 2 and 65534",
            ),
            (
                positive(self.positive_weight),
                "the weight of positives must be above 0",
            ),
            (
                self.patience != Some(0),
                "the rounds to wait for a lower loss must be at least 1",
            ),
        ];
        match complaints.into_iter().find(|(holds, _)| !holds) {
            Some((_, complaint)) => Err(ModelError::new(ModelErrorKind::Unsupported, complaint)),
            None => Ok(()),
        }
    }
}

/// A round that is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// Its number, from 1.
    pub number: usize,
    /// Mean logistic loss of the rows trained on.
    pub train_loss: f64,
    /// The same of the validation rows, if there are any.
    pub validation_loss: Option<f64>,
}

/// What training gives.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model, up to its best round.
    pub model: BoostedTrees,
    /// The best round, or the last one without validation rows.
    pub best: Round,
    /// Whether training ended before all rounds were done because the loss fell no more.
    pub stopped_early: bool,
    /// How well the model does on the validation rows.
    pub validation: Option<Metrics>,
}

/// Trains a classifier. With validation rows, the trees up to the round with the lowest validation
/// loss are kept if [`patience`](TrainOptions::patience) says so, else all. `on_round` is told of
/// every round and ends training by `false`.
///
/// # Errors
///
/// `Unsupported` for options that make no sense, `Mismatch` when the rows are of one class or the
/// validation rows have another width.
pub fn train(
    samples: &Samples,
    validation: Option<&Samples>,
    options: &TrainOptions,
    mut on_round: impl FnMut(&Round) -> bool,
) -> Result<Trained, ModelError> {
    options.check()?;
    check_classes(samples)?;
    if validation.is_some_and(|rows| rows.width != samples.width) {
        let message = "the validation rows have another number of features";
        return Err(ModelError::new(ModelErrorKind::Mismatch, message));
    }
    let validation = validation.filter(|rows| !rows.is_empty());
    let mut model = BoostedTrees {
        trees: Vec::new(),
        base_score: base_score(samples, options.positive_weight),
        features: samples.width,
        feature_names: Vec::new(),
        feature_types: Vec::new(),
        parallel_trees: 1,
        positive_weight: options.positive_weight,
        attributes: Default::default(),
    };
    let base = super::base_margin(model.base_score);
    let bins = Bins::of(samples, options.bins);
    let mut margins = vec![base; samples.len()];
    let mut validation_margins = vec![base; validation.map_or(0, Samples::len)];
    let mut derivatives = Vec::with_capacity(samples.len());
    let mut grower = Grower::new(&bins, options);
    let mut best: Option<Round> = None;
    let mut stopped_early = false;
    for number in 1..=options.rounds {
        derivatives.clear();
        derivatives.extend(
            (margins.iter().zip(&samples.labels)).map(|(&margin, &label)| {
                let probability = logistic(margin);
                let weight = if label { options.positive_weight } else { 1.0 };
                let target = if label { 1.0 } else { 0.0 };
                let second = (probability * (1.0 - probability)).max(1e-16);
                [(probability - target) * weight, second * weight]
            }),
        );
        let tree = grower.grow(&derivatives, &mut margins)?;
        if let Some(rows) = validation {
            advance(&mut validation_margins, rows, &tree);
        }
        model.trees.push(tree);
        let round = Round {
            number,
            train_loss: loss(&margins, &samples.labels),
            validation_loss: validation.map(|rows| loss(&validation_margins, &rows.labels)),
        };
        let is_better = match (options.patience, best) {
            (Some(_), Some(best)) => match (round.validation_loss, best.validation_loss) {
                (Some(now), Some(then)) => now < then,
                _ => true,
            },
            _ => true,
        };
        if is_better {
            best = Some(round);
        }
        let goes_on = on_round(&round);
        let waited = number - best.map_or(0, |best| best.number);
        if options.patience.is_some_and(|patience| waited >= patience) {
            stopped_early = true;
        }
        if stopped_early || !goes_on {
            break;
        }
    }
    let Some(best) = best else {
        let message = "no round was done";
        return Err(ModelError::new(ModelErrorKind::Unsupported, message));
    };
    model.trees.truncate(best.number);
    if options.patience.is_some() && validation.is_some() {
        let iteration = (best.number - 1).to_string();
        (model.attributes).insert(BEST_ITERATION.to_owned(), iteration);
    }
    let validation = validation.map(|rows| judge(&model, rows));
    Ok(Trained {
        model,
        best,
        stopped_early,
        validation,
    })
}

/// How well a model does on these rows. Positive is called what has a probability above one half,
/// as genome_entropy does.
pub fn judge(model: &BoostedTrees, samples: &Samples) -> Metrics {
    let mut judged = Vec::with_capacity(samples.len());
    let mut margins = Vec::with_capacity(samples.len());
    for place in 0..samples.len() {
        let margin = model.margin(samples.row(place));
        margins.push(margin);
        let score = logistic(margin);
        judged.push(Judged {
            score,
            is_positive: samples.labels[place],
            called_positive: score > 0.5,
        });
    }
    Metrics::of(&mut judged, loss(&margins, &samples.labels))
}

fn check_classes(samples: &Samples) -> Result<(), ModelError> {
    let positives = samples.positives();
    if positives == 0 || positives == samples.len() {
        return Err(ModelError::new(
            ModelErrorKind::Mismatch,
            format!(
                "of {} rows to train on, {positives} are positive",
                samples.len()
            ),
        )
        .with_hint("training needs both classes"));
    }
    Ok(())
}

/// Where the sum starts, as in XGBoost 3: the share of positives, or with weighted classes one
/// Newton step from one half.
fn base_score(samples: &Samples, positive_weight: f32) -> f32 {
    let positives = samples.positives() as f64;
    let negatives = samples.len() as f64 - positives;
    if positive_weight == 1.0 {
        return (positives / (positives + negatives)) as f32;
    }
    let weighted = positives * f64::from(positive_weight);
    let step = 2.0 * (weighted - negatives) / (weighted + negatives);
    logistic(step as f32)
}

fn advance(margins: &mut [f32], rows: &Samples, tree: &Tree) {
    for (place, margin) in margins.iter_mut().enumerate() {
        *margin += tree.leaf(rows.row(place));
    }
}

/// Mean logistic loss, natural logarithm.
fn loss(margins: &[f32], labels: &[bool]) -> f64 {
    let sum: f64 = (margins.iter().zip(labels))
        .map(|(&margin, &label)| {
            let against = f64::from(if label { -margin } else { margin });
            // ln(1 + e^x) that does not overflow.
            against.max(0.0) + (-against.abs()).exp().ln_1p()
        })
        .sum();
    sum / labels.len().max(1) as f64
}

#[cfg(test)]
mod tests;
