//! Lanes: where operations run, in the order in which they were enqueued.

use std::sync::Arc;

use crate::attention::{AttentionInput, AttentionSpec};
use crate::batch::{BatchBuf, PackedBatch};
use crate::buffer::{Buf, Format, Mark};
use crate::error::DeviceError;

/// What happens to a product before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Epilogue {
    /// `out = x · Wᵀ + bias`.
    Store,
    /// `out = gelu(x · Wᵀ + bias)` with the exact (erf) GELU.
    Gelu,
    /// `out = max(0, x · Wᵀ + bias)`.
    Relu,
    /// `out = gelu(x · Gᵀ) × (x · Vᵀ)` for a weight packed as
    /// [`Gated`](crate::WeightLayout::Gated); `out` has half as many columns as the weight rows.
    GeluGated,
    /// `out = out + x · Wᵀ + bias`; `out` is an f32 residual stream.
    Residual,
}

/// What is done to the gates of gated units that were stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `v / (1 + exp(−v))`.
    Silu,
    /// GELU by the hyperbolic tangent: `v / 2 × (1 + tanh(√(2 / π) × (v + 0.044715 v³)))`.
    GeluTanh,
}

/// Which norm.
#[derive(Debug)]
pub enum Norm<'a, W> {
    /// `(x − mean) / sqrt(variance + epsilon) × gain + shift`.
    Layer {
        /// `[1, cols]`.
        gain: &'a W,
        /// `[1, cols]`, or none.
        shift: Option<&'a W>,
        /// Added to the variance.
        epsilon: f32,
    },
    /// `x / sqrt(mean of squares + epsilon) × gain`.
    Rms {
        /// `[1, cols]`.
        gain: &'a W,
        /// Added to the mean of squares.
        epsilon: f32,
    },
}

impl<W> Clone for Norm<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Norm<'_, W> {}

/// How the rows of a sequence become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The mean of all rows but the first `skip_first` and the last `skip_last`; zeros when no
    /// row is left.
    Mean {
        /// Rows left out at the start.
        skip_first: usize,
        /// Rows left out at the end.
        skip_last: usize,
    },
    /// The first row.
    First,
}

/// A promise of values that are on their way to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Number of the read on its lane.
    pub serial: u64,
    /// Number of values.
    pub len: usize,
}

/// Says whether nobody waits any more for what a lane computes. Asked often, and from several
/// threads.
pub type GivenUp = Arc<dyn Fn() -> bool + Send + Sync>;

/// An ordered queue of operations with its own workspace.
///
/// Operations are enqueued and return no host value. A device that runs them at once (CPU) and
/// one that only queues them (CUDA) look the same from here. Shapes are the model's duty: an
/// operation over shapes that do not fit is a fault of the program and may panic.
pub trait Lane: Send {
    /// The packed weights this lane works with.
    type Weight;

    /// From now on operations may stop in their midst once `given_up` says so, or `None`: run to
    /// their end. [`Lane::wait`] fails then with
    /// [`DeviceErrorKind::GivenUp`](crate::DeviceErrorKind::GivenUp), and what was computed means
    /// nothing. A pass over one long sequence takes minutes; a lane that can not stop may ignore
    /// this.
    fn give_up_when(&mut self, given_up: Option<GivenUp>) {
        drop(given_up);
    }

    /// Puts a buffer on the arena's stack. Its contents are undefined.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the arena is full; nothing has changed then.
    fn buffer(&mut self, rows: usize, cols: usize, format: Format) -> Result<Buf, DeviceError>;

    /// The height of the arena's stack.
    fn mark(&self) -> Mark;

    /// Takes all buffers off that were made since `mark`. Operations already enqueued still see
    /// their contents: the lane runs in order.
    fn release(&mut self, mark: Mark);

    /// Copies a batch to the device.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the arena is full.
    fn upload(&mut self, batch: &PackedBatch) -> Result<BatchBuf, DeviceError>;

    /// Copies f32 values to the device as `[values.len(), 1]`.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the arena is full.
    fn upload_values(&mut self, values: &[f32]) -> Result<Buf, DeviceError>;

    /// Copies row numbers to the device as `[indices.len(), 1]`.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the arena is full.
    fn upload_indices(&mut self, indices: &[u32]) -> Result<Buf, DeviceError>;

    /// `out[i] = table[ids[i]] × scale[i]`, `out` in f32.
    fn gather(&mut self, ids: Buf, table: &Self::Weight, scale: Option<Buf>, out: Buf);

    /// `out[i] = x[rows[i]]`, both f32.
    fn gather_rows(&mut self, x: Buf, rows: Buf, out: Buf);

    /// Normalises each row of `x` (f32) into `out` (f32, heads or an operand).
    fn norm(&mut self, x: Buf, norm: Norm<'_, Self::Weight>, out: Buf);

    /// Converts `x` (f32) into the operand or the heads `out`.
    fn convert(&mut self, x: Buf, out: Buf);

    /// `x · Wᵀ` with an epilogue. `x` is an operand; `out` may be f32, heads or an operand.
    fn linear(
        &mut self,
        x: Buf,
        weight: &Self::Weight,
        bias: Option<&Self::Weight>,
        epilogue: Epilogue,
        out: Buf,
    );

    /// Softmax attention of every sequence of `batch` over itself, into the operand `out`.
    fn attention(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        spec: &AttentionSpec<'_, Self::Weight>,
        out: Buf,
    );

    /// The attention probabilities of one head of one sequence, `[length, length]` in f32:
    /// row *i* is the softmax of query *i* over the keys.
    fn attention_map(
        &mut self,
        input: AttentionInput,
        batch: &BatchBuf,
        sequence: usize,
        head: usize,
        spec: &AttentionSpec<'_, Self::Weight>,
        out: Buf,
    );

    /// Adds one head's share to a contact map: `map` (`[length, length]`) without its first and
    /// last row and column, made symmetric (`m + mᵀ`), corrected by the average product
    /// (`m − rows × columns / total`), times `factor[column]`, is added to `sum`
    /// (`[length − 2, length − 2]`). Rao et al., 2021, "Transformer protein language models are
    /// unsupervised structure learners".
    fn add_contacts(&mut self, map: Buf, factor: &Self::Weight, column: usize, sum: Buf);

    /// `x = 1 / (1 + exp(−(x + shift[0])))` for every value of an f32 buffer.
    fn sigmoid(&mut self, x: Buf, shift: &Self::Weight);

    /// `out[i][c] = x[i][c] × activation(x[i][cols + c])`: `x` has twice the columns of `out`. Both
    /// f32.
    fn gate(&mut self, x: Buf, activation: Activation, out: Buf);

    /// `out = out + x`, both f32.
    fn add(&mut self, x: Buf, out: Buf);

    /// Sets every value of an f32 buffer to zero.
    fn zero(&mut self, x: Buf);

    /// One vector per sequence: `out` is `[sequences, cols]` in f32, `x` is `[tokens, cols]`.
    fn pool(&mut self, x: Buf, batch: &BatchBuf, pooling: Pooling, out: Buf);

    /// The sum of a convolution along every sequence, whose products for all taps are made:
    /// `out[i][c] = bias[c] + Σ x[i + t − taps / 2][t × cols + c]` over the taps `t`, with
    /// `cols` columns of `out` and `taps` times as many of `x`; a negative result is zero when
    /// `rectified`. Rows outside of the sequence count as zero, and so do its last `hidden` rows.
    /// All buffers are f32.
    fn add_taps(
        &mut self,
        x: Buf,
        batch: &BatchBuf,
        bias: &Self::Weight,
        rectified: bool,
        hidden: usize,
        out: Buf,
    );

    /// `out[i] = log softmax(x[i])[column[i]]`, `x` f32, `columns` indices, `out` `[rows, 1]`.
    fn log_softmax_at(&mut self, x: Buf, columns: Buf, out: Buf);

    /// Starts copying an f32 buffer to the host.
    fn read(&mut self, x: Buf) -> Ticket;

    /// Waits for a read and puts its values into `into`, whose memory is used again.
    ///
    /// # Errors
    ///
    /// Whatever went wrong on this lane since the last wait.
    fn wait(&mut self, ticket: Ticket, into: &mut Vec<f32>) -> Result<(), DeviceError>;
}
