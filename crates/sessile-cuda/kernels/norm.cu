// Layer norm and RMS norm of f32 rows, into f32 or an operand. One block a row; the order of the
// sums follows from the number of columns.
#include "prelude.cuh"

template <class T>
DEVICE void norm(const float* x, u64 x_stride, const float* gain, const float* shift, float epsilon, u32 rms,
                 typename T::Store* out, u64 out_stride, u32 cols) {
    SHARED(float, four, 4);
    const float* row = x + BLOCK * x_stride;
    typename T::Store* to = out + BLOCK * out_stride;
    // Four columns at once where rows lie so; which columns a thread sums depends on their number.
    bool by_four = cols % 4 == 0 && is_aligned(x, x_stride);
    float mean = 0.0f;
    if (!rms) {
        float sum = 0.0f;
        if (by_four) {
            for (u32 i = THREAD; i < cols / 4; i += THREADS) {
                Floats v = ((const Floats*)row)[i];
                sum += (v.at[0] + v.at[1]) + (v.at[2] + v.at[3]);
            }
        } else {
            for (u32 c = THREAD; c < cols; c += THREADS) sum += row[c];
        }
        mean = block_sum(sum, four) / (float)cols;
    }
    float squares = 0.0f;
    if (by_four) {
        for (u32 i = THREAD; i < cols / 4; i += THREADS) {
            Floats v = ((const Floats*)row)[i];
            UNROLL for (u32 e = 0; e < 4; e++) squares += (v.at[e] - mean) * (v.at[e] - mean);
        }
    } else {
        for (u32 c = THREAD; c < cols; c += THREADS) squares += (row[c] - mean) * (row[c] - mean);
    }
    float factor = 1.0f / sqrtf(block_sum(squares, four) / (float)cols + epsilon);
    // Each thread reads its own values once more and writes them: `out` may be `x`.
    if (by_four) {
        for (u32 i = THREAD; i < cols / 4; i += THREADS) {
            Floats v = ((const Floats*)row)[i];
            UNROLL for (u32 e = 0; e < 4; e++) {
                float value = (v.at[e] - mean) * factor * gain[i * 4 + e];
                v.at[e] = shift ? value + shift[i * 4 + e] : value;
            }
            if constexpr (sizeof(typename T::Store) == 2) {
                // Rows of an operand are aligned, and so are pairs of any other.
                if (((u64)to & 3) == 0) {
                    ((u32*)to)[2 * i] = T::pack(v.at[0], v.at[1]);
                    ((u32*)to)[2 * i + 1] = T::pack(v.at[2], v.at[3]);
                    continue;
                }
            }
            UNROLL for (u32 e = 0; e < 4; e++) to[i * 4 + e] = T::down(v.at[e]);
        }
        return;
    }
    for (u32 c = THREAD; c < cols; c += THREADS) {
        float value = (row[c] - mean) * factor * gain[c];
        to[c] = T::down(shift ? value + shift[c] : value);
    }
}
#define NORM(name, T)                                                                                         \
    KERNEL(name, 128)(const float* x, u64 x_stride, const float* gain, const float* shift, float epsilon,     \
                      u32 rms, T::Store* out, u64 out_stride, u32 cols) {                                     \
        norm<T>(x, x_stride, gain, shift, epsilon, rms, out, out_stride, cols);                               \
    }                                                                                                         \
    ENTRY(name)
NORM(norm_f32, F32)
NORM(norm_bf16, Bf16)
NORM(norm_f16, F16)
