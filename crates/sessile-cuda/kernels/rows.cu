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
template <class T>
DEVICE void activate(typename T::Store* x, u64 stride, const float* bias, u32 cols, u32 kind) {
    for (u32 c = THREAD; c < cols; c += THREADS) {
        typename T::Store* at = x + BLOCK * stride + c;
        float value = T::up(*at) + (bias ? bias[c] : 0.0f);
        if (kind == 1) value = gelu(value);
        if (kind == 2) value = larger(value, 0.0f);
        *at = T::down(value);
    }
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
    for (u32 c = THREAD; c < cols; c += THREADS) {
        const typename T::Store* pair = x + BLOCK * x_stride + 2 * c;
        out[BLOCK * out_stride + c] = T::down(gelu(T::up(pair[0])) * T::up(pair[1]));
    }
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
