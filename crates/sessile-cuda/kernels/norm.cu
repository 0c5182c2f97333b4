// Layer norm and RMS norm of f32 rows, into f32 or an operand. One block a row. The order of the
// sums follows from the number of columns alone: where 4 divides it, thread t adds the sums of
// columns 4(t + 128i) to 4(t + 128i) + 3 for i = 0, 1, …; else columns t + 128i one by one; then the
// threads of a warp are added by halves, and the four warps.
#include "prelude.cuh"

DEVICE float squares_of(Floats v, float mean) {
    float squares = 0.0f;
    UNROLL for (u32 e = 0; e < 4; e++) squares = fmaf(v.at[e] - mean, v.at[e] - mean, squares);
    return squares;
}
// One over the standard deviation.
DEVICE float inverse(float squares, u32 cols, float epsilon) { return 1.0f / sqrtf(squares / (float)cols + epsilon); }

// Aligned rows of up to 512 · FOURS columns, by four: they are read once.
template <class T, u32 FOURS>
DEVICE void norm_held(const float* row, const float* gain, const float* shift, float epsilon, u32 rms,
                      typename T::Store* to, u32 cols) {
    SHARED(float, four, 4);
    Floats v[FOURS];
    float sum = 0.0f, mean = 0.0f, squares = 0.0f;
    u32 count = cols / 4;
    UNROLL for (u32 i = 0; i < FOURS; i++) {
        u32 at = THREAD + 128 * i;
        if (at < count) v[i] = ((const Floats*)row)[at];
    }
    if (!rms) {
        UNROLL for (u32 i = 0; i < FOURS; i++) {
            if (THREAD + 128 * i < count) sum += (v[i].at[0] + v[i].at[1]) + (v[i].at[2] + v[i].at[3]);
        }
        mean = block_sum(sum, four) / (float)cols;
    }
    UNROLL for (u32 i = 0; i < FOURS; i++) {
        if (THREAD + 128 * i < count) squares += squares_of(v[i], mean);
    }
    float factor = inverse(block_sum(squares, four), cols, epsilon);
    UNROLL for (u32 i = 0; i < FOURS; i++) {
        u32 at = THREAD + 128 * i;
        if (at >= count) return;
        Floats by = ((const Floats*)gain)[at], plus = {};
        if (shift) plus = ((const Floats*)shift)[at];
        UNROLL for (u32 e = 0; e < 4; e++) v[i].at[e] = fmaf((v[i].at[e] - mean) * factor, by.at[e], plus.at[e]);
        if constexpr (sizeof(typename T::Store) == 2)
            ((Pair*)to)[at] = Pair{T::pack(v[i].at[0], v[i].at[1]), T::pack(v[i].at[2], v[i].at[3])};
        else
            ((Floats*)to)[at] = v[i];
    }
}

// Rows of any number of columns, STEP at a time.
template <class T, u32 STEP>
DEVICE void norm_read(const float* row, const float* gain, const float* shift, float epsilon, u32 rms,
                      typename T::Store* to, u32 cols) {
    SHARED(float, four, 4);
    float mean = 0.0f, squares = 0.0f;
    if (!rms) {
        float sum = 0.0f;
        for (u32 c = STEP * THREAD; c < cols; c += STEP * THREADS)
            sum += STEP == 4 ? (row[c] + row[c + 1]) + (row[c + 2] + row[c + 3]) : row[c];
        mean = block_sum(sum, four) / (float)cols;
    }
    for (u32 c = STEP * THREAD; c < cols; c += STEP * THREADS)
        squares += STEP == 4 ? squares_of(Floats{row[c], row[c + 1], row[c + 2], row[c + 3]}, mean) : (row[c] - mean) * (row[c] - mean);
    float factor = inverse(block_sum(squares, four), cols, epsilon);
    // Each thread reads its own values once more and writes them: `out` may be `x`.
    for (u32 c = STEP * THREAD; c < cols; c += STEP * THREADS)
        UNROLL for (u32 e = 0; e < STEP; e++)
            to[c + e] = T::down(fmaf((row[c + e] - mean) * factor, gain[c + e], shift ? shift[c + e] : 0.0f));
}

template <class T>
DEVICE void norm(const float* x, u64 x_stride, const float* gain, const float* shift, float epsilon, u32 rms,
                 typename T::Store* out, u64 out_stride, u32 cols) {
    const float* row = x + BLOCK * x_stride;
    typename T::Store* to = out + BLOCK * out_stride;
    bool aligned = is_aligned(x, x_stride) && is_aligned(out, out_stride) && (((u64)gain | (u64)shift) & 15) == 0;
    if (cols % 4 != 0) norm_read<T, 1>(row, gain, shift, epsilon, rms, to, cols);
    else if (aligned && cols <= 2560) norm_held<T, 5>(row, gain, shift, epsilon, rms, to, cols);
    else norm_read<T, 4>(row, gain, shift, epsilon, rms, to, cols);
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
