//! A small transformer block over any device, and values to feed it with.

#![allow(dead_code)] // Every test binary uses its own part.

use sessile_device::{
    AttentionInput, AttentionSpec, Bias, DType, Device, DeviceError, Epilogue, Format, HostTensor,
    Lane, Norm, PackedBatch, Pooling, Rotary, RowSource, WeightLayout,
};

pub(crate) const WIDTH: usize = 48;
pub(crate) const HEADS: usize = 3;
pub(crate) const FFN: usize = 80;
pub(crate) const VOCABULARY: usize = 33;

/// The same values on every run: uniform in −1..1.
pub(crate) fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// A batch of sequences of these lengths; what a sequence holds depends on its length alone.
pub(crate) fn batch(lengths: &[usize]) -> PackedBatch {
    let mut batch = PackedBatch::default();
    for &len in lengths {
        let tokens: Vec<u32> = (0..len)
            .map(|i| ((i * 7 + len * 3) % VOCABULARY) as u32)
            .collect();
        batch.push(&tokens);
    }
    batch
}

/// A pre-norm block with everything: rotary attention, a gated and a plain feed-forward layer.
pub(crate) struct Block<W> {
    table: W,
    gain: W,
    shift: W,
    qkv: W,
    qkv_bias: W,
    rotary: W,
    slopes: W,
    merge: W,
    up: W,
    down: W,
    gated: W,
    gated_down: W,
    head: W,
}

impl<W> Block<W> {
    pub(crate) fn new<D: Device<Weight = W>>(
        device: &D,
        dtype: DType,
    ) -> Result<Self, DeviceError> {
        let weight = |seed: u64, rows: usize, cols: usize, layout| {
            let scale = 1.7 / (cols as f32).sqrt();
            let data = values(seed, rows * cols)
                .iter()
                .map(|x| x * scale)
                .collect();
            let tensor = HostTensor::new(vec![rows, cols], data);
            device.pack(&[&tensor as &dyn RowSource], layout, dtype)
        };
        use WeightLayout::{Gated, Linear, Table, TableF32, Vector};
        let dim = WIDTH / HEADS;
        let angles = (0..600).flat_map(|position| {
            let angle = move |i: usize| position as f32 / 10f32.powf(i as f32 / 2.0);
            let cos = (0..dim / 2).map(move |i| angle(i).cos());
            cos.chain((0..dim / 2).map(move |i| angle(i).sin()))
        });
        let angles = HostTensor::new(vec![600, dim], angles.collect());
        Ok(Block {
            table: weight(1, VOCABULARY, WIDTH, Table)?,
            gain: weight(2, 1, WIDTH, Vector)?,
            shift: weight(3, 1, WIDTH, Vector)?,
            qkv: weight(4, 3 * WIDTH, WIDTH, Linear)?,
            qkv_bias: weight(5, 1, 3 * WIDTH, Vector)?,
            rotary: device.pack(&[&angles as &dyn RowSource], TableF32, dtype)?,
            slopes: weight(6, 1, HEADS, Vector)?,
            merge: weight(7, WIDTH, WIDTH, Linear)?,
            up: weight(8, FFN, WIDTH, Linear)?,
            down: weight(9, WIDTH, FFN, Linear)?,
            gated: weight(10, 2 * FFN, WIDTH, Gated)?,
            gated_down: weight(11, WIDTH, FFN, Linear)?,
            head: weight(12, VOCABULARY, WIDTH, Linear)?,
        })
    }

    /// One pass: the pooled vectors and the logits, appended to `answers`.
    pub(crate) fn run<L: Lane<Weight = W>>(
        &self,
        lane: &mut L,
        batch: &PackedBatch,
        dtype: DType,
        answers: &mut Answers,
    ) -> Result<(), DeviceError> {
        let base = lane.mark();
        let batch = lane.upload(batch)?;
        let rows = batch.len();
        let x = lane.buffer(rows, WIDTH, Format::F32)?;
        lane.gather(batch.tokens, &self.table, None, x);
        let norm = Norm::Layer {
            gain: &self.gain,
            shift: Some(&self.shift),
            epsilon: 1e-5,
        };

        let mark = lane.mark();
        let normed = lane.buffer(rows, WIDTH, Format::Operand(dtype))?;
        lane.norm(x, norm, normed);
        let qkv = lane.buffer(rows, 3 * WIDTH, Format::Heads(dtype))?;
        lane.linear(
            normed,
            &self.qkv,
            Some(&self.qkv_bias),
            Epilogue::Store,
            qkv,
        );
        let input = AttentionInput {
            q: qkv.columns(0..WIDTH),
            k: qkv.columns(WIDTH..2 * WIDTH),
            v: qkv.columns(2 * WIDTH..3 * WIDTH),
        };
        let dim = WIDTH / HEADS;
        let rotary = AttentionSpec {
            heads: HEADS,
            head_dim: dim,
            scale: 1.0 / (dim as f32).sqrt(),
            rotary: Some(Rotary {
                table: &self.rotary,
            }),
            bias: Bias::None,
            window: None,
        };
        let mixed = lane.buffer(rows, WIDTH, Format::Operand(dtype))?;
        lane.attention(input, &batch, &rotary, mixed);
        lane.linear(mixed, &self.merge, None, Epilogue::Residual, x);
        let local = AttentionSpec {
            rotary: None,
            bias: Bias::Alibi {
                slopes: &self.slopes,
            },
            window: Some(20),
            ..rotary
        };
        lane.attention(input, &batch, &local, mixed);
        lane.linear(mixed, &self.merge, None, Epilogue::Residual, x);
        lane.release(mark);

        for (up, down, epilogue) in [
            (&self.up, &self.down, Epilogue::Gelu),
            (&self.gated, &self.gated_down, Epilogue::GeluGated),
        ] {
            let normed = lane.buffer(rows, WIDTH, Format::Operand(dtype))?;
            lane.norm(x, norm, normed);
            let wide = lane.buffer(rows, FFN, Format::Operand(dtype))?;
            lane.linear(normed, up, None, epilogue, wide);
            lane.linear(wide, down, None, Epilogue::Residual, x);
            lane.release(mark);
        }

        let pooled = lane.buffer(batch.sequences, WIDTH, Format::F32)?;
        let mean = Pooling::Mean {
            skip_first: 1,
            skip_last: 1,
        };
        lane.pool(x, &batch, mean, pooled);
        let normed = lane.buffer(rows, WIDTH, Format::Operand(dtype))?;
        lane.norm(x, norm, normed);
        let logits = lane.buffer(rows, VOCABULARY, Format::F32)?;
        lane.linear(normed, &self.head, None, Epilogue::Store, logits);
        let chosen = lane.buffer(rows, 1, Format::F32)?;
        lane.log_softmax_at(logits, batch.tokens, chosen);
        let tickets = [lane.read(pooled), lane.read(logits), lane.read(chosen)];
        lane.release(base);
        let Answers {
            pooled,
            logits,
            chosen,
        } = answers;
        for (ticket, into) in tickets.into_iter().zip([pooled, logits, chosen]) {
            lane.wait(ticket, into)?;
        }
        Ok(())
    }
}

/// What a pass of the block says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answers {
    pub(crate) pooled: Vec<f32>,
    pub(crate) logits: Vec<f32>,
    pub(crate) chosen: Vec<f32>,
}
