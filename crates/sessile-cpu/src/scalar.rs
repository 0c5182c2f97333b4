//! The scalar twins: every operation written once more, as plainly as its definition reads. The
//! tests compare the kernels with them.

mod attention;
pub(crate) mod bf16;
mod cells;
mod contacts;
mod linear;
mod math;
mod norm;

pub(crate) use attention::{attention, attention_map};
pub(crate) use cells::attention_cells;
pub(crate) use contacts::add_contacts;
pub(crate) use linear::linear;
pub(crate) use math::sigmoid;
pub(crate) use norm::{layer_norm, log_softmax_at, rms_norm};
