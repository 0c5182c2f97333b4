// Layer norm and RMS norm of f32 rows, into f32 or an operand. One block a row; the order of the
// sums follows from the number of columns.
#include "prelude.cuh"

template <class T>
DEVICE void norm(const float* x, u64 x_stride, const float* gain, const float* shift, float epsilon, u32 rms,
                 typename T::Store* out, u64 out_stride, u32 cols) {
    SHARED(float, four, 4);
    const float* row = x + BLOCK * x_stride;
    float mean = 0.0f;
    if (!rms) {
        float sum = 0.0f;
        for (u32 c = THREAD; c < cols; c += THREADS) sum += row[c];
        mean = block_sum(sum, four) / (float)cols;
    }
    float squares = 0.0f;
    for (u32 c = THREAD; c < cols; c += THREADS) {
        float d = row[c] - mean;
        squares += d * d;
    }
    float factor = 1.0f / sqrtf(block_sum(squares, four) / (float)cols + epsilon);
    // Each thread reads its own values once more and writes them: `out` may be `x`.
    for (u32 c = THREAD; c < cols; c += THREADS) {
        float value = (row[c] - mean) * factor * gain[c];
        out[BLOCK * out_stride + c] = T::down(shift ? value + shift[c] : value);
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
