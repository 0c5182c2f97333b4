//! Generation: models that read a source and write an answer token by token.
//!
//! An architecture implements [`SequenceToSequence`] once, over any device that can decode: one
//! pass over the sources, then one step after the other in which every hypothesis gets one more
//! token. [`DecoderExecution`] drives it. All requests on a lane share each step: whoever has
//! finished leaves, whoever waits enters in between ("continuous batching", Yu et al., 2022, Orca,
//! OSDI). What a request gets depends on itself alone: a row of a step has the same bytes in any
//! company, and chance comes from the request's own seed.
//!
//! Keys and values live in the cells of [`Caches`]; a hypothesis is a list of tokens and a list of
//! cells. Beams with a common beginning share its cells, so moving a beam moves no cache.

mod cells;
mod execution;
mod scores;
mod search;
mod settings;

use sessile_device::{
    Buf, CellCache, CellTable, DType, DecodingLane, Device, DeviceError, Format, PackedBatch,
};

use crate::encoder::ModelInfo;

pub use execution::{DecoderExecution, DecoderLimits};
pub use settings::{SettingsOverrides, settings_from_json};

/// The caches of a lane, by decoder layer.
#[derive(Clone, Debug)]
pub struct Caches {
    /// Of the tokens that were written.
    pub own: Vec<CellCache>,
    /// Of the encoded sources.
    pub source: Vec<CellCache>,
}

impl Caches {
    /// Puts caches of so many cells on the lane's arena.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the arena is full.
    pub fn new<L: DecodingLane>(
        lane: &mut L,
        info: &ModelInfo,
        dtype: DType,
        own_cells: usize,
        source_cells: usize,
    ) -> Result<Self, DeviceError> {
        let decoder = info.decoder;
        let (layers, columns) = decoder.map_or((0, 0), |one| (one.layers, one.cache_columns));
        let mut caches = |cells: usize| -> Result<Vec<CellCache>, DeviceError> {
            (0..layers)
                .map(|_| {
                    let mut half = || lane.buffer(cells, columns, Format::Heads(dtype));
                    Ok(CellCache {
                        keys: half()?,
                        values: half()?,
                    })
                })
                .collect()
        };
        Ok(Caches {
            own: caches(own_cells)?,
            source: caches(source_cells)?,
        })
    }
}

/// One token for every row.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// The last token of each row's hypothesis.
    pub tokens: Vec<u32>,
    /// Its position in the answer, from 0.
    pub positions: Vec<u32>,
    /// The cell that its keys and values go to.
    pub own_cells: Vec<u32>,
    /// The cells of each hypothesis, the new one last: one list a row.
    pub own: CellTable,
    /// The cells of the sources, each for the neighbouring rows of its hypotheses.
    pub source: CellTable,
}

impl Step {
    fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.own_cells.clear();
        self.own.clear();
        self.source.clear();
    }
}

/// Scores of a step, on the lane's arena.
#[derive(Clone, Copy, Debug)]
pub struct Scores {
    /// `[rows, vocabulary]` in f32.
    pub logits: Buf,
    /// `log Σ exp` of each row, `[rows, 1]`.
    pub log_sums: Buf,
}

/// A model of an encoder and a decoder with its weights on a device.
pub trait SequenceToSequence<D: Device>: Send + Sync {
    /// What it is.
    fn info(&self) -> &ModelInfo;

    /// Encodes `batch` and puts what the decoder needs of its token *i* into the source cell
    /// `cells[i]`. Returns the encoder's last states, `[tokens, hidden]` in f32, on the arena.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the arena is full.
    fn encode(
        &self,
        lane: &mut D::Lane,
        batch: &PackedBatch,
        cells: &[u32],
        caches: &Caches,
    ) -> Result<Buf, DeviceError>;

    /// Decodes one token for every row. The scores stay on the arena.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when the arena is full.
    fn decode(
        &self,
        lane: &mut D::Lane,
        step: &Step,
        caches: &Caches,
    ) -> Result<Scores, DeviceError>;
}
