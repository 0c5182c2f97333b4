//! One tree: histograms, the best split of every node of a level, and the rows of its children.

use std::sync::{Mutex, PoisonError};

use super::TrainOptions;
use super::bins::{Bins, Column, MISSING};
use crate::trees::{Node, NodeKind, Tree};
use sessile_models::ModelError;

/// Gains up to this are none: XGBoost's `kRtEps`.
const LEAST_GAIN: f32 = 1e-6;

/// Rows times features below which one thread is faster than several.
const WORTH_A_THREAD: usize = 1 << 17;

/// What rows sum to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    first: f64,
    second: f64,
    rows: u32,
}

impl Sums {
    fn add(&mut self, other: Sums) {
        self.first += other.first;
        self.second += other.second;
        self.rows += other.rows;
    }

    fn without(self, other: Sums) -> Sums {
        Sums {
            first: self.first - other.first,
            second: self.second - other.second,
            rows: self.rows - other.rows,
        }
    }

    /// What these rows lower the objective by when they are a leaf.
    fn gain(&self, lambda: f32) -> f32 {
        if self.second <= 0.0 {
            return 0.0;
        }
        (self.first * self.first / (self.second + f64::from(lambda))) as f32
    }

    /// The number of a leaf of these rows, before the rate.
    fn weight(&self, lambda: f32) -> f32 {
        if self.second <= 0.0 {
            return 0.0;
        }
        (-self.first / (self.second + f64::from(lambda))) as f32
    }
}

#[derive(Clone, Copy, Debug)]
struct Split {
    gain: f32,
    feature: usize,
    /// Bins below this go left.
    bin: usize,
    default_left: bool,
    left: Sums,
}

/// The sums of every bin of every feature, one feature after the other.
type Histogram = Vec<Sums>;

/// A node that may be split yet.
struct Open {
    node: usize,
    /// Its rows in `Grower::order`.
    from: usize,
    to: usize,
    sums: Sums,
    histogram: Histogram,
}

pub(super) struct Grower<'a> {
    bins: &'a Bins,
    options: &'a TrainOptions,
    /// Where the bins of each feature begin in a histogram, and where the last ends.
    starts: Vec<usize>,
    /// Rows, those of a node side by side and in their order.
    order: Vec<u32>,
    /// Rows on their way to the right.
    aside: Vec<u32>,
}

impl<'a> Grower<'a> {
    pub(super) fn new(bins: &'a Bins, options: &'a TrainOptions) -> Self {
        let mut starts = vec![0];
        for column in &bins.columns {
            starts.push(starts.last().copied().unwrap_or(0) + column.count());
        }
        Grower {
            bins,
            options,
            starts,
            order: Vec::new(),
            aside: Vec::new(),
        }
    }

    /// Grows a tree for the derivatives (first, second) of every row and adds its leaves to the
    /// margins.
    pub(super) fn grow(
        &mut self,
        derivatives: &[[f32; 2]],
        margins: &mut [f32],
    ) -> Result<Tree, ModelError> {
        self.order.clear();
        self.order.extend(0..self.bins.rows as u32);
        let mut sums = Sums::default();
        for &[first, second] in derivatives {
            sums.add(Sums {
                first: f64::from(first),
                second: f64::from(second),
                rows: 1,
            });
        }
        let mut nodes = vec![self.leaf(sums)];
        let root = Open {
            node: 0,
            from: 0,
            to: self.bins.rows,
            sums,
            histogram: self.histogram(derivatives, 0, self.bins.rows),
        };
        let mut level = vec![root];
        for depth in 0..self.options.depth {
            let is_last = depth + 1 == self.options.depth;
            let mut next = Vec::new();
            for open in level {
                match self.best_split(&open) {
                    Some(split) => {
                        self.split(open, split, is_last, derivatives, &mut nodes, &mut next);
                    }
                    None => self.settle(&open, &mut nodes, margins),
                }
            }
            level = next;
        }
        for open in level {
            self.settle(&open, &mut nodes, margins);
        }
        Tree::new(&nodes, self.bins.columns.len())
    }

    fn leaf(&self, sums: Sums) -> Node {
        let weight = sums.weight(self.options.lambda);
        Node {
            kind: NodeKind::Leaf {
                value: self.options.rate * weight,
            },
            gain: 0.0,
            cover: sums.second as f32,
            weight: self.options.rate * weight,
        }
    }

    /// A node that stays a leaf gives its rows their number.
    fn settle(&self, open: &Open, nodes: &mut [Node], margins: &mut [f32]) {
        if let NodeKind::Leaf { value } = nodes[open.node].kind {
            for &row in &self.order[open.from..open.to] {
                margins[row as usize] += value;
            }
        }
    }

    fn split(
        &mut self,
        open: Open,
        split: Split,
        is_last: bool,
        derivatives: &[[f32; 2]],
        nodes: &mut Vec<Node>,
        next: &mut Vec<Open>,
    ) {
        let middle = self.part(&open, &split);
        let right = open.sums.without(split.left);
        let column = &self.bins.columns[split.feature];
        let place = nodes.len();
        let node = &mut nodes[open.node];
        node.weight = open.sums.weight(self.options.lambda);
        node.gain = split.gain;
        node.kind = NodeKind::Split {
            feature: split.feature as u32,
            threshold: threshold(column, split.bin),
            default_left: split.default_left,
            left: place as u32,
            right: place as u32 + 1,
        };
        nodes.extend([self.leaf(split.left), self.leaf(right)]);
        // Leaves need no histograms.
        let [mut left_histogram, mut right_histogram] = [Vec::new(), Vec::new()];
        if !is_last {
            let is_left_smaller = split.left.rows <= right.rows;
            let (from, to) = match is_left_smaller {
                true => (open.from, middle),
                false => (middle, open.to),
            };
            let smaller = self.histogram(derivatives, from, to);
            let mut larger = open.histogram;
            for (larger, &smaller) in larger.iter_mut().zip(&smaller) {
                *larger = larger.without(smaller);
            }
            [left_histogram, right_histogram] = match is_left_smaller {
                true => [smaller, larger],
                false => [larger, smaller],
            };
        }
        next.push(Open {
            node: place,
            from: open.from,
            to: middle,
            sums: split.left,
            histogram: left_histogram,
        });
        next.push(Open {
            node: place + 1,
            from: middle,
            to: open.to,
            sums: right,
            histogram: right_histogram,
        });
    }

    /// Puts the rows of the left child before those of the right one; gives where the right ones
    /// begin.
    fn part(&mut self, open: &Open, split: &Split) -> usize {
        let bins = &self.bins.columns[split.feature].bins;
        self.aside.clear();
        let mut middle = open.from;
        for place in open.from..open.to {
            let row = self.order[place];
            let bin = bins[row as usize];
            let goes_left = match bin {
                MISSING => split.default_left,
                bin => usize::from(bin) < split.bin,
            };
            if goes_left {
                self.order[middle] = row;
                middle += 1;
            } else {
                self.aside.push(row);
            }
        }
        self.order[middle..open.to].copy_from_slice(&self.aside);
        middle
    }

    /// The histogram of the rows `from..to` of the order.
    fn histogram(&self, derivatives: &[[f32; 2]], from: usize, to: usize) -> Histogram {
        let rows = &self.order[from..to];
        let mut histogram = vec![Sums::default(); self.starts[self.starts.len() - 1]];
        let columns = &self.bins.columns;
        let threads = match rows.len() * columns.len() < WORTH_A_THREAD {
            true => 1,
            false => self.options.threads.clamp(1, columns.len().max(1)),
        };
        if threads == 1 {
            let mut rest = histogram.as_mut_slice();
            for column in columns {
                let (sums, behind) = rest.split_at_mut(column.count());
                sum(column, rows, derivatives, sums);
                rest = behind;
            }
            return histogram;
        }
        // Features are dealt out; each is summed by one thread, in the order of the rows.
        let mut dealt: Vec<Vec<(&Column, &mut [Sums])>> = Vec::new();
        dealt.resize_with(threads, Vec::new);
        let mut rest = histogram.as_mut_slice();
        for (feature, column) in columns.iter().enumerate() {
            let (sums, behind) = std::mem::take(&mut rest).split_at_mut(column.count());
            dealt[feature % threads].push((column, sums));
            rest = behind;
        }
        let dealt = Mutex::new(dealt.into_iter());
        let next = || {
            let mut dealt = dealt.lock().unwrap_or_else(PoisonError::into_inner);
            dealt.next()
        };
        let work = || {
            while let Some(features) = next() {
                for (column, sums) in features {
                    sum(column, rows, derivatives, sums);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                // A thread that the system does not give is missed by nobody.
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        histogram
    }

    fn best_split(&self, open: &Open) -> Option<Split> {
        let mut best: Option<Split> = None;
        for (feature, column) in self.bins.columns.iter().enumerate() {
            let bins = &open.histogram[self.starts[feature]..self.starts[feature + 1]];
            self.best_of_feature(feature, column, bins, open.sums, &mut best);
        }
        best.filter(|split| split.gain > LEAST_GAIN && split.gain >= self.options.min_gain)
    }

    /// Looks at every cut of a feature, with the missing rows on the right and on the left.
    fn best_of_feature(
        &self,
        feature: usize,
        column: &Column,
        bins: &[Sums],
        all: Sums,
        best: &mut Option<Split>,
    ) {
        let lambda = self.options.lambda;
        let least = f64::from(self.options.min_child_weight);
        let parent = all.gain(lambda);
        let mut consider = |bin: usize, default_left: bool, left: Sums| {
            let right = all.without(left);
            if left.rows == 0 || right.rows == 0 || left.second < least || right.second < least {
                return;
            }
            let gain = left.gain(lambda) + right.gain(lambda) - parent;
            if gain.is_finite() && best.is_none_or(|best| gain > best.gain) {
                *best = Some(Split {
                    gain,
                    feature,
                    bin,
                    default_left,
                    left,
                });
            }
        };
        let mut present = Sums::default();
        for (bin, &sums) in bins.iter().enumerate() {
            present.add(sums);
            // Behind the last bin only the missing are.
            if bin + 1 < bins.len() || column.may_lack {
                consider(bin + 1, false, present);
            }
        }
        if column.may_lack && present.rows < all.rows {
            let mut left = all;
            for bin in (0..bins.len()).rev() {
                left = left.without(bins[bin]);
                consider(bin, true, left);
            }
        }
    }
}

fn sum(column: &Column, rows: &[u32], derivatives: &[[f32; 2]], sums: &mut [Sums]) {
    for &row in rows {
        let bin = column.bins[row as usize];
        if bin != MISSING {
            let [first, second] = derivatives[row as usize];
            sums[usize::from(bin)].add(Sums {
                first: f64::from(first),
                second: f64::from(second),
                rows: 1,
            });
        }
    }
}

/// The number below which the bins before `bin` lie.
fn threshold(column: &Column, bin: usize) -> f32 {
    match bin.checked_sub(1) {
        None => column.smallest,
        Some(before) => column.cuts.get(before).copied().unwrap_or(column.beyond),
    }
}
