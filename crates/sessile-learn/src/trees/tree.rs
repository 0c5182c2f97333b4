//! A decision tree: inner nodes that compare one feature with a number, and leaves.

use sessile_models::{ModelError, ModelErrorKind};

/// A node, with what XGBoost notes of how it came about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    /// How much splitting it lowered the objective; 0 of a leaf.
    pub(crate) gain: f32,
    /// The sum of second derivatives of the rows in it.
    pub(crate) cover: f32,
    /// The number that it would give as a leaf.
    pub(crate) weight: f32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum NodeKind {
    Leaf {
        value: f32,
    },
    Split {
        feature: u32,
        /// Rows below it go left.
        threshold: f32,
        /// Where rows go whose feature is missing.
        default_left: bool,
        left: u32,
        right: u32,
    },
}

/// A decision tree. Every walk from the root ends: children lie behind their parents, and no node
/// has two.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// A tree of these nodes, the root first. Nodes that can not be reached are left out.
    ///
    /// # Errors
    ///
    /// `Malformed` when there is no node, a child is not there or comes twice, a split names no
    /// feature below `features`, or a number is not one.
    pub(crate) fn new(nodes: &[Node], features: usize) -> Result<Self, ModelError> {
        let bad = |what: String| Err(ModelError::new(ModelErrorKind::Malformed, what));
        if nodes.is_empty() {
            return bad("it has no nodes".to_owned());
        }
        // Parents before children, in the order of the file where it has that order too.
        let mut seen = vec![false; nodes.len()];
        seen[0] = true;
        let mut pending = vec![0_usize];
        let mut has_order = true;
        while let Some(place) = pending.pop() {
            match nodes[place].kind {
                NodeKind::Leaf { value } if value.is_finite() => {}
                NodeKind::Leaf { value } => return bad(format!("leaf {place} gives {value}")),
                NodeKind::Split { threshold, .. } if threshold.is_nan() => {
                    return bad(format!("node {place} compares with NaN"));
                }
                NodeKind::Split { feature, .. } if feature as usize >= features => {
                    return bad(format!(
                        "node {place} asks for feature {feature} of {features}, counted from 0"
                    ));
                }
                NodeKind::Split { left, right, .. } => {
                    for child in [left as usize, right as usize] {
                        match seen.get_mut(child) {
                            None => {
                                return bad(format!(
                                    "node {place} leads to node {child} of {}",
                                    nodes.len()
                                ));
                            }
                            Some(true) => {
                                return bad(format!("two ways lead to node {child}"));
                            }
                            Some(seen) => *seen = true,
                        }
                        has_order &= child > place;
                        pending.push(child);
                    }
                }
            }
        }
        let order: Vec<usize> = if has_order {
            (0..nodes.len()).filter(|&place| seen[place]).collect()
        } else {
            breadth_first(nodes)
        };
        let mut places = vec![0_u32; nodes.len()];
        for (new, &old) in order.iter().enumerate() {
            places[old] = new as u32;
        }
        let nodes = order.iter().map(|&old| {
            let mut node = nodes[old];
            if let NodeKind::Split { left, right, .. } = &mut node.kind {
                *left = places[*left as usize];
                *right = places[*right as usize];
            }
            node
        });
        Ok(Tree {
            nodes: nodes.collect(),
        })
    }

    /// Its nodes, parents before children.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How many nodes it has, leaves included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: a tree has a root.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The number of the leaf that a row falls into.
    pub(crate) fn leaf(&self, row: &[f32]) -> f32 {
        let mut place = 0;
        loop {
            match self.nodes[place].kind {
                NodeKind::Leaf { value } => return value,
                NodeKind::Split {
                    feature,
                    threshold,
                    default_left,
                    left,
                    right,
                } => {
                    let value = row.get(feature as usize).copied().unwrap_or(f32::NAN);
                    let goes_left = value < threshold || (value.is_nan() && default_left);
                    place = if goes_left { left } else { right } as usize;
                }
            }
        }
    }
}

fn breadth_first(nodes: &[Node]) -> Vec<usize> {
    let mut order = vec![0];
    let mut next = 0;
    while next < order.len() {
        if let NodeKind::Split { left, right, .. } = nodes[order[next]].kind {
            order.extend([left as usize, right as usize]);
        }
        next += 1;
    }
    order
}
