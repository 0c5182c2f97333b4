// Rows: looked up, copied, converted, activated. One block a row.
#include "prelude.cuh"

// out[i] = table[ids[i]] × scale[i]
template <class T>
DEVICE void gather(const u32* ids, const typename T::Store* table, u32 table_rows, u64 table_stride,
                   const float* scale, float* out, u64 out_stride, u32 cols, u32 what, u32* fault) {
    u32 row = BLOCK, id = checked(ids[row], table_rows, what, fault);
    float factor = scale ? scale[row] : 1.0f;
    const typename T::Store* from = table + id * table_stride;
    for (u32 c = THREAD; c < cols; c += THREADS) out[row * out_stride + c] = T::up(from[c]) * factor;
}
#define GATHER(name, T)                                                                                       \
    KERNEL(name, 128)(const u32* ids, const T::Store* table, u32 table_rows, u64 table_stride,                \
                      const float* scale, float* out, u64 out_stride, u32 cols, u32 what, u32* fault) {       \
        gather<T>(ids, table, table_rows, table_stride, scale, out, out_stride, cols, what, fault);           \
    }                                                                                                         \
    ENTRY(name)
GATHER(gather_f32, F32)
GATHER(gather_bf16, Bf16)
GATHER(gather_f16, F16)

// Values of f32 rounded, into rows of another stride.
template <class T>
DEVICE void convert(const float* x, u64 x_stride, typename T::Store* out, u64 out_stride, u32 cols) {
    const float* from = x + BLOCK * x_stride;
    typename T::Store* to = out + BLOCK * out_stride;
    u32 first = 0;
    if (is_aligned(x, x_stride) && is_aligned(out, out_stride)) {
        for (u32 i = THREAD; i < cols / 4; i += THREADS) {
            Floats v = ((const Floats*)from)[i];
            if constexpr (sizeof(typename T::Store) == 2)
                ((Pair*)to)[i] = Pair{T::pack(v.at[0], v.at[1]), T::pack(v.at[2], v.at[3])};
            else
                ((Floats*)to)[i] = v;
        }
        first = cols / 4 * 4;
    }
    for (u32 c = first + THREAD; c < cols; c += THREADS) to[c] = T::down(from[c]);
}
#define CONVERT(name, T)                                                                                      \
    KERNEL(name, 128)(const float* x, u64 x_stride, T::Store* out, u64 out_stride, u32 cols) {                \
        convert<T>(x, x_stride, out, out_stride, cols);                                                       \
    }                                                                                                         \
    ENTRY(name)
CONVERT(convert_f32, F32)
CONVERT(convert_bf16, Bf16)
CONVERT(convert_f16, F16)

// out += x
KERNEL(add, 128)(const float* x, u64 x_stride, float* out, u64 out_stride, u32 cols) {
    for (u32 c = THREAD; c < cols; c += THREADS) out[BLOCK * out_stride + c] += x[BLOCK * x_stride + c];
}
ENTRY(add)

KERNEL(zero, 128)(float* out, u64 out_stride, u32 cols) {
    for (u32 c = THREAD; c < cols; c += THREADS) out[BLOCK * out_stride + c] = 0.0f;
}
ENTRY(zero)

// out[cells[i]] = x[i]
template <class S>
DEVICE void scatter(const S* x, u64 x_stride, const u32* cells, S* out, u64 out_stride, u32 out_rows, u32 cols,
                    u32* fault) {
    u32 cell = cells[BLOCK];
    if (cell >= out_rows) {
        *fault = FAULT_CELL;
        return;
    }
    for (u32 c = THREAD; c < cols; c += THREADS) out[cell * out_stride + c] = x[BLOCK * x_stride + c];
}
KERNEL(scatter_16, 128)(const u16* x, u64 x_stride, const u32* cells, u16* out, u64 out_stride, u32 out_rows,
                        u32 cols, u32* fault) {
    scatter<u16>(x, x_stride, cells, out, out_stride, out_rows, cols, fault);
}
ENTRY(scatter_16)
KERNEL(scatter_32, 128)(const float* x, u64 x_stride, const u32* cells, float* out, u64 out_stride, u32 out_rows,
                        u32 cols, u32* fault) {
    scatter<float>(x, x_stride, cells, out, out_stride, out_rows, cols, fault);
}
ENTRY(scatter_32)

// The exact GELU in half of the instructions, for results that are rounded to 16 bits. Φ(−|x|) is
// (t a1 + … + t⁵ a5) exp(−x²/2) / 2, formula 7.1.26 of Abramowitz and Stegun (1964); its largest
// error, 3.4e-7, is no larger than that of 1 + erf in f32, and far below 0 it is smaller. Beyond 30
// nothing is left of it, so that infinity stays what it is.
DEVICE float gelu_fast(float x) {
    float size = fminf(fabsf(x), 30.0f), t = reciprocal_fast(fmaf(size, 0.3275911f * 0.70710678118654752f, 1.0f));
    float sum = fmaf(t, 0.5f * 1.061405429f, 0.5f * -1.453152027f);
    sum = fmaf(t, sum, 0.5f * 1.421413741f);
    sum = fmaf(t, sum, 0.5f * -0.284496736f);
    sum = fmaf(t, sum, 0.5f * 0.254829592f);
    float below = t * sum * exp2_fast(x * (x * (-0.5f * LOG2_E)));
    return fmaf(-size, below, larger(x, 0.0f));
}

// x = activation(x + bias) in place.
enum { BIAS_ONLY, GELU, RELU };
template <int KIND, class S> DEVICE float activated(float value) {
    if (KIND == GELU) return sizeof(S) == 2 ? gelu_fast(value) : gelu(value);
    if (KIND == RELU) return larger(value, 0.0f);
    return value;
}
template <class T, int KIND>
DEVICE void activate(typename T::Store* x, u64 stride, const float* bias, u32 cols) {
    typedef typename T::Store S;
    S* row = x + BLOCK * stride;
    u32 first = 0;
    if constexpr (sizeof(S) == 2) {
        if (is_aligned(x, stride) && ((u64)bias & 15) == 0) {
            for (u32 i = THREAD; i < cols / 8; i += THREADS) {
                Chunk chunk = ((const Chunk*)row)[i];
                Floats add[2] = {};
                if (bias) {
                    add[0] = ((const Floats*)bias)[2 * i];
                    add[1] = ((const Floats*)bias)[2 * i + 1];
                }
                UNROLL for (u32 e = 0; e < 4; e++) {
                    float low = T::up((u16)chunk.word[e]) + add[e / 2].at[e % 2 * 2];
                    float high = T::up((u16)(chunk.word[e] >> 16)) + add[e / 2].at[e % 2 * 2 + 1];
                    chunk.word[e] = T::pack(activated<KIND, S>(low), activated<KIND, S>(high));
                }
                ((Chunk*)row)[i] = chunk;
            }
            first = cols / 8 * 8;
        }
    }
    for (u32 c = first + THREAD; c < cols; c += THREADS)
        row[c] = T::down(activated<KIND, S>(T::up(row[c]) + (bias ? bias[c] : 0.0f)));
}
#define ACTIVATE(name, T, KIND)                                                                               \
    KERNEL(name, 128)(T::Store* x, u64 stride, const float* bias, u32 cols) {                                 \
        activate<T, KIND>(x, stride, bias, cols);                                                             \
    }                                                                                                         \
    ENTRY(name)
ACTIVATE(activate_f32_bias, F32, BIAS_ONLY)
ACTIVATE(activate_f32_gelu, F32, GELU)
ACTIVATE(activate_f32_relu, F32, RELU)
ACTIVATE(activate_bf16_bias, Bf16, BIAS_ONLY)
ACTIVATE(activate_bf16_gelu, Bf16, GELU)
ACTIVATE(activate_bf16_relu, Bf16, RELU)
ACTIVATE(activate_f16_bias, F16, BIAS_ONLY)
ACTIVATE(activate_f16_gelu, F16, GELU)
ACTIVATE(activate_f16_relu, F16, RELU)

// out[c] = gelu(x[2c]) × x[2c + 1]: gate and value lie beside each other.
template <class T>
DEVICE void gate(const typename T::Store* x, u64 x_stride, typename T::Store* out, u64 out_stride, u32 cols) {
    typedef typename T::Store S;
    const S* from = x + BLOCK * x_stride;
    S* to = out + BLOCK * out_stride;
    u32 first = 0;
    if constexpr (sizeof(S) == 2) {
        if (is_aligned(x, x_stride) && is_aligned(out, out_stride)) {
            for (u32 i = THREAD; i < cols / 8; i += THREADS) {
                Chunk pairs[2] = {((const Chunk*)from)[2 * i], ((const Chunk*)from)[2 * i + 1]}, chunk;
                UNROLL for (u32 e = 0; e < 4; e++) {
                    u32 one = pairs[e / 2].word[e % 2 * 2], two = pairs[e / 2].word[e % 2 * 2 + 1];
                    chunk.word[e] = T::pack(activated<GELU, S>(T::up((u16)one)) * T::up((u16)(one >> 16)),
                                            activated<GELU, S>(T::up((u16)two)) * T::up((u16)(two >> 16)));
                }
                ((Chunk*)to)[i] = chunk;
            }
            first = cols / 8 * 8;
        }
    }
    for (u32 c = first + THREAD; c < cols; c += THREADS)
        to[c] = T::down(activated<GELU, S>(T::up(from[2 * c])) * T::up(from[2 * c + 1]));
}
#define GATE(name, T)                                                                                         \
    KERNEL(name, 128)(const T::Store* x, u64 x_stride, T::Store* out, u64 out_stride, u32 cols) {             \
        gate<T>(x, x_stride, out, out_stride, cols);                                                          \
    }                                                                                                         \
    ENTRY(name)
GATE(gate_f32, F32)
GATE(gate_bf16, Bf16)
GATE(gate_f16, F16)

// out[c] = x[c] × silu(x[cols + c])
KERNEL(silu_gate, 128)(const float* x, u64 x_stride, float* out, u64 out_stride, u32 cols) {
    for (u32 c = THREAD; c < cols; c += THREADS) {
        const float* from = x + BLOCK * x_stride + c;
        float gate = from[cols];
        out[BLOCK * out_stride + c] = *from * (gate / (1.0f + expf(-gate)));
    }
}
ENTRY(silu_gate)

// out[c] = x[c] × gelu(x[cols + c]), by the hyperbolic tangent: v / 2 · (1 + tanh u) = v / (1 + exp(−2u))
KERNEL(gelu_tanh_gate, 128)(const float* x, u64 x_stride, float* out, u64 out_stride, u32 cols) {
    for (u32 c = THREAD; c < cols; c += THREADS) {
        const float* from = x + BLOCK * x_stride + c;
        float gate = from[cols];
        float twice = 1.5957691216057308f * gate * fmaf(0.044715f * gate, gate, 1.0f);
        out[BLOCK * out_stride + c] = *from * (gate / (1.0f + expf(-twice)));
    }
}
ENTRY(gelu_tanh_gate)

// x = 1 / (1 + exp(−(x + shift[0])))
KERNEL(sigmoid, 128)(float* x, u64 stride, u32 cols, const float* shift) {
    for (u32 c = THREAD; c < cols; c += THREADS) {
        float* at = x + BLOCK * stride + c;
        *at = 1.0f / (1.0f + expf(-(*at + shift[0])));
    }
}
ENTRY(sigmoid)
