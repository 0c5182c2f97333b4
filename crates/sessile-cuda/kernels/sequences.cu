// Sums along sequences, softmax along rows, contact maps.
#include "prelude.cuh"

// The mean of some rows of every sequence: block x is the sequence, a thread one column. One chain
// of additions per column, from the first row to the last.
KERNEL(pool, 128)(const float* x, u64 x_stride, const u32* offsets, u32 skip_first, u32 skip_last, u32 only_first,
                  float* out, u64 out_stride, u32 cols) {
    u32 c = BLOCK_Y * THREADS + THREAD;
    if (c >= cols) return;
    u64 start = offsets[BLOCK], end = offsets[BLOCK + 1];
    u64 first = start + skip_first, last = end > skip_last ? end - skip_last : 0;
    if (only_first) {
        first = start;
        last = start + 1 < end ? start + 1 : end;
    }
    float sum = 0.0f;
    for (u64 row = first; row < last; row++) sum += x[row * x_stride + c];
    out[BLOCK * out_stride + c] = sum / (float)(last > first ? last - first : 1);
}
ENTRY(pool)

// The taps of a convolution along every sequence; block x is a row.
KERNEL(add_taps, 128)(const float* x, u64 x_stride, const u32* offsets, u32 sequences, const float* bias,
                      u32 rectified, u32 hidden, float* out, u64 out_stride, u32 cols, u32 taps) {
    u32 row = BLOCK, part = part_of(row, offsets, sequences);
    long long start = offsets[part], end = (long long)offsets[part + 1] - hidden;
    for (u32 c = THREAD; c < cols; c += THREADS) {
        float sum = bias[c];
        for (u32 tap = 0; tap < taps; tap++) {
            long long from = (long long)row + tap - taps / 2;
            if (from >= start && from < end) sum += x[from * x_stride + tap * cols + c];
        }
        out[row * out_stride + c] = rectified ? larger(sum, 0.0f) : sum;
    }
}
ENTRY(add_taps)

// max and Σ exp(x − max) of a row.
DEVICE float row_log_sum(const float* row, u32 cols, float* four, float* top) {
    float most = FAR_BELOW;
    for (u32 c = THREAD; c < cols; c += THREADS) most = larger(row[c], most);
    most = block_max(most, four);
    float sum = 0.0f;
    for (u32 c = THREAD; c < cols; c += THREADS) sum += expf(row[c] - most);
    *top = most;
    return logf(block_sum(sum, four));
}

// out[i] = log softmax(x[i])[columns[i]]
KERNEL(log_softmax_at, 128)(const float* x, u64 x_stride, const u32* columns, float* out, u64 out_stride, u32 cols,
                            u32* fault) {
    SHARED(float, four, 4);
    const float* row = x + BLOCK * x_stride;
    float top, log_sum = row_log_sum(row, cols, four, &top);
    if (THREAD == 0) {
        u32 column = checked(columns[BLOCK], cols, FAULT_COLUMN, fault);
        out[BLOCK * out_stride] = (row[column] - top) - log_sum;
    }
}
ENTRY(log_softmax_at)

// out[i] = log Σ exp x[i]
KERNEL(log_sum_exp, 128)(const float* x, u64 x_stride, float* out, u64 out_stride, u32 cols) {
    SHARED(float, four, 4);
    float top, log_sum = row_log_sum(x + BLOCK * x_stride, cols, four, &top);
    if (THREAD == 0) out[BLOCK * out_stride] = top + log_sum;
}
ENTRY(log_sum_exp)

// One value of the symmetric inner part of an attention map.
DEVICE float symmetric(const float* map, u64 stride, u32 i, u32 j) {
    return map[(u64)(i + 1) * stride + j + 1] + map[(u64)(j + 1) * stride + i + 1];
}
// The sums of its rows; block x is a row.
KERNEL(contact_margins, 128)(const float* map, u64 stride, float* margins, u32 len) {
    SHARED(float, four, 4);
    float sum = 0.0f;
    for (u32 j = THREAD; j < len; j += THREADS) sum += symmetric(map, stride, BLOCK, j);
    sum = block_sum(sum, four);
    if (THREAD == 0) margins[BLOCK] = sum;
}
ENTRY(contact_margins)
// sum += factor × (symmetric − row sum × column sum / total); block x is a row.
KERNEL(contact_add, 128)(const float* map, u64 stride, const float* margins, const float* factors, u32 column,
                         float* sum, u64 sum_stride, u32 len) {
    SHARED(float, four, 4);
    float total = 0.0f;
    for (u32 j = THREAD; j < len; j += THREADS) total += margins[j];
    total = block_sum(total, four);
    float factor = factors[column], share = margins[BLOCK] / total;
    for (u32 j = THREAD; j < len; j += THREADS)
        sum[BLOCK * sum_stride + j] += factor * (symmetric(map, stride, BLOCK, j) - share * margins[j]);
}
ENTRY(contact_add)
