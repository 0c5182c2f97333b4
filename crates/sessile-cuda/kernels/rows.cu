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
    for (u32 c = THREAD; c < cols; c += THREADS)
        out[BLOCK * out_stride + c] = T::down(x[BLOCK * x_stride + c]);
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

// x = activation(x + bias) in place; 0: none, 1: GELU, 2: ReLU.
DEVICE float activated(float value, u32 kind) {
    if (kind == 1) return gelu(value);
    if (kind == 2) return larger(value, 0.0f);
    return value;
}
template <class T>
DEVICE void activate(typename T::Store* x, u64 stride, const float* bias, u32 cols, u32 kind) {
    typename T::Store* row = x + BLOCK * stride;
    u32 first = 0;
    if constexpr (sizeof(typename T::Store) == 2) {
        if (is_aligned(x, stride)) {
            for (u32 i = THREAD; i < cols / 8; i += THREADS) {
                Chunk chunk = ((const Chunk*)row)[i];
                UNROLL for (u32 e = 0; e < 4; e++) {
                    u32 c = i * 8 + e * 2, pair = chunk.word[e];
                    float low = T::up((u16)pair), high = T::up((u16)(pair >> 16));
                    if (bias) {
                        low += bias[c];
                        high += bias[c + 1];
                    }
                    chunk.word[e] = T::pack(activated(low, kind), activated(high, kind));
                }
                ((Chunk*)row)[i] = chunk;
            }
            first = cols / 8 * 8;
        }
    }
    for (u32 c = first + THREAD; c < cols; c += THREADS)
        row[c] = T::down(activated(T::up(row[c]) + (bias ? bias[c] : 0.0f), kind));
}
#define ACTIVATE(name, T)                                                                                     \
    KERNEL(name, 128)(T::Store* x, u64 stride, const float* bias, u32 cols, u32 kind) {                       \
        activate<T>(x, stride, bias, cols, kind);                                                             \
    }                                                                                                         \
    ENTRY(name)
ACTIVATE(activate_f32, F32)
ACTIVATE(activate_bf16, Bf16)
ACTIVATE(activate_f16, F16)

// out[c] = gelu(x[2c]) × x[2c + 1]: gate and value lie beside each other.
template <class T>
DEVICE void gate(const typename T::Store* x, u64 x_stride, typename T::Store* out, u64 out_stride, u32 cols) {
    const typename T::Store* from = x + BLOCK * x_stride;
    typename T::Store* to = out + BLOCK * out_stride;
    u32 first = 0;
    if constexpr (sizeof(typename T::Store) == 2) {
        if (is_aligned(x, x_stride) && is_aligned(out, out_stride)) {
            for (u32 i = THREAD; i < cols / 8; i += THREADS) {
                Chunk pairs[2] = {((const Chunk*)from)[2 * i], ((const Chunk*)from)[2 * i + 1]}, chunk;
                UNROLL for (u32 e = 0; e < 4; e++) {
                    u32 one = pairs[e / 2].word[e % 2 * 2], two = pairs[e / 2].word[e % 2 * 2 + 1];
                    chunk.word[e] = T::pack(gelu(T::up((u16)one)) * T::up((u16)(one >> 16)),
                                            gelu(T::up((u16)two)) * T::up((u16)(two >> 16)));
                }
                ((Chunk*)to)[i] = chunk;
            }
            first = cols / 8 * 8;
        }
    }
    for (u32 c = first + THREAD; c < cols; c += THREADS)
        to[c] = T::down(gelu(T::up(from[2 * c])) * T::up(from[2 * c + 1]));
}
#define GATE(name, T)                                                                                         \
    KERNEL(name, 128)(const T::Store* x, u64 x_stride, T::Store* out, u64 out_stride, u32 cols) {             \
        gate<T>(x, x_stride, out, out_stride, cols);                                                          \
    }                                                                                                         \
    ENTRY(name)
GATE(gate_f32, F32)
GATE(gate_bf16, Bf16)
GATE(gate_f16, F16)

// x = 1 / (1 + exp(−(x + shift[0])))
KERNEL(sigmoid, 128)(float* x, u64 stride, u32 cols, const float* shift) {
    for (u32 c = THREAD; c < cols; c += THREADS) {
        float* at = x + BLOCK * stride + c;
        *at = 1.0f / (1.0f + expf(-(*at + shift[0])));
    }
}
ENTRY(sigmoid)
