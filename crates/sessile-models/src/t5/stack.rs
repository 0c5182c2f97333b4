//! The layers of T5's encoder: the same for the encoder alone and for the translator.

use sessile_device::{
    AttentionInput, AttentionSpec, BatchBuf, Bias, Buf, DType, Device, DeviceError, Epilogue,
    Format, Lane, WeightLayout,
};

use super::{T5Config, rms};
use crate::error::ModelError;
use crate::weights::Packing;

/// One transformer layer.
pub(super) struct Layer<W> {
    attention_norm: W,
    qkv: W,
    attention_out: W,
    feed_forward_norm: W,
    /// Values and then gates, where the units are gated.
    feed_forward_up: W,
    feed_forward_down: W,
}

/// The encoder's weights.
pub(super) struct EncoderStack<W> {
    pub(super) embeddings: W,
    /// The bias by head and distance.
    distances: W,
    pub(super) layers: Vec<Layer<W>>,
    pub(super) final_norm: W,
}

impl<W> EncoderStack<W> {
    /// Packs the tensors of the encoder.
    pub(super) fn load<D: Device<Weight = W>>(
        tensors: &Packing<'_, D>,
        config: &T5Config,
    ) -> Result<Self, ModelError> {
        let table = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
        Ok(EncoderStack {
            embeddings: tensors.pack(&["shared.weight"], WeightLayout::TableF32)?,
            distances: distances(tensors, config, table, |distance| config.bucket(distance))?,
            layers: (0..config.layers)
                .map(|layer| load_layer(tensors, config, layer))
                .collect::<Result<_, _>>()?,
            final_norm: tensors.pack(&["encoder.final_layer_norm.weight"], WeightLayout::Vector)?,
        })
    }

    /// The attention of every layer.
    pub(super) fn attention(&self, config: &T5Config) -> AttentionSpec<'_, W> {
        attention(config, &self.distances)
    }
}

/// Attention with a learned bias by distance.
pub(super) fn attention<'a, W>(config: &T5Config, distances: &'a W) -> AttentionSpec<'a, W> {
    AttentionSpec {
        bias: Bias::ByDistance {
            table: distances,
            reach: config.max_distance,
        },
        ..plain_attention(config)
    }
}

/// Attention without a bias, as of the decoder over the source.
pub(super) fn plain_attention<'a, W>(config: &T5Config) -> AttentionSpec<'a, W> {
    AttentionSpec {
        heads: config.heads,
        head_dim: config.head_dim,
        scale: 1.0,
        rotary: None,
        bias: Bias::None,
        window: None,
    }
}

impl<W> Layer<W> {
    /// Lets the residual stream `x` pass the layer. `look` sees queries, keys and values.
    #[allow(clippy::too_many_arguments, reason = "what a layer works with")]
    pub(super) fn run<L: Lane<Weight = W>>(
        &self,
        lane: &mut L,
        config: &T5Config,
        dtype: DType,
        spec: &AttentionSpec<'_, W>,
        batch: &BatchBuf,
        (x, operand): (Buf, Buf),
        look: impl FnOnce(&mut L, AttentionInput) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        let (tokens, inner) = (x.rows(), config.inner());
        let within = lane.mark();
        lane.norm(x, rms(&self.attention_norm, config.epsilon), operand);
        let attended = lane.buffer(tokens, inner, Format::Operand(dtype))?;
        let qkv = lane.buffer(tokens, 3 * inner, Format::Heads(dtype))?;
        lane.linear(operand, &self.qkv, None, Epilogue::Store, qkv);
        let input = AttentionInput::fused(qkv);
        look(lane, input)?;
        lane.attention(input, batch, spec, attended);
        lane.linear(attended, &self.attention_out, None, Epilogue::Residual, x);
        lane.release(within);

        lane.norm(x, rms(&self.feed_forward_norm, config.epsilon), operand);
        let wide = lane.buffer(tokens, config.feed_forward, Format::Operand(dtype))?;
        match config.gate {
            None => lane.linear(operand, &self.feed_forward_up, None, Epilogue::Relu, wide),
            Some(activation) => {
                let columns = config.feed_forward;
                let pairs = lane.buffer(tokens, 2 * columns, Format::F32)?;
                let units = lane.buffer(tokens, columns, Format::F32)?;
                lane.linear(operand, &self.feed_forward_up, None, Epilogue::Store, pairs);
                lane.gate(pairs, activation, units);
                lane.convert(units, wide);
            }
        }
        lane.linear(wide, &self.feed_forward_down, None, Epilogue::Residual, x);
        lane.release(within);
        Ok(())
    }
}

fn load_layer<D: Device>(
    tensors: &Packing<'_, D>,
    config: &T5Config,
    layer: usize,
) -> Result<Layer<D::Weight>, ModelError> {
    let name = |part: &str| format!("encoder.block.{layer}.layer.{part}.weight");
    let pack = |parts: &[&str], layout| {
        let names: Vec<String> = parts.iter().map(|part| name(part)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        tensors.pack(&names, layout)
    };
    Ok(Layer {
        attention_norm: pack(&["0.layer_norm"], WeightLayout::Vector)?,
        qkv: pack(
            &[
                "0.SelfAttention.q",
                "0.SelfAttention.k",
                "0.SelfAttention.v",
            ],
            WeightLayout::Linear,
        )?,
        attention_out: pack(&["0.SelfAttention.o"], WeightLayout::Linear)?,
        feed_forward_norm: pack(&["1.layer_norm"], WeightLayout::Vector)?,
        feed_forward_up: pack(
            match config.gate {
                None => &["1.DenseReluDense.wi"],
                Some(_) => &["1.DenseReluDense.wi_1", "1.DenseReluDense.wi_0"],
            },
            WeightLayout::Linear,
        )?,
        feed_forward_down: pack(&["1.DenseReluDense.wo"], WeightLayout::Linear)?,
    })
}

/// The bias by head and distance, from the tensor `name` by range and head.
pub(super) fn distances<D: Device>(
    tensors: &Packing<'_, D>,
    config: &T5Config,
    name: &str,
    bucket: impl Fn(isize) -> usize,
) -> Result<D::Weight, ModelError> {
    let by_range = tensors.values(name)?;
    let reach = config.max_distance as isize;
    let mut values = Vec::with_capacity(config.heads * (2 * config.max_distance + 1));
    for head in 0..config.heads {
        let of = |distance| by_range[bucket(distance) * config.heads + head];
        values.extend((-reach..=reach).map(of));
    }
    tensors.pack_values(
        vec![config.heads, 2 * config.max_distance + 1],
        values,
        WeightLayout::TableF32,
    )
}
