// The same in f32, for those who compute in it: a block has 32 queries of one head and passes over
// the keys in tiles of 32; four threads share a query.
#include "prelude.cuh"

#define TILE 32

template <int D> DEVICE void load_rows(float* tile, const float* head, u64 stride, u32 first, u32 len) {
    for (u32 i = THREAD; i < TILE * D; i += 128) {
        u32 r = i / D, c = i % D;
        tile[r * (D + 4) + c] = first + r < len ? head[(u64)(first + r) * stride + c] : 0.0f;
    }
}

template <int D, int BIAS>
DEVICE void attention(const float* q, const float* k, const float* v, u64 q_stride, u64 k_stride, u64 v_stride,
                      float* out, u64 out_stride, const u32* offsets, u32 heads, u32 dim, u32 tiles, float scale,
                      const float* bias, u32 reach, u32 window) {
    float* queries = (float*)DYNAMIC_SHARED;
    float* keys = queries + TILE * (D + 4);
    float* values = keys + TILE * (D + 4);
    float* weights = values + TILE * (D + 4);
    u32 tile = BLOCK % tiles, head = BLOCK / tiles % heads, sequence = BLOCK / tiles / heads;
    u32 start = offsets[sequence], len = offsets[sequence + 1] - start, first = tile * TILE;
    if (first >= len) return;
    q += start * q_stride + head * D;
    k += start * k_stride + head * D;
    v += start * v_stride + head * D;
    u32 from = first > window ? (first - window) / TILE : 0;
    u32 seen = first + (TILE - 1) < len ? first + (TILE - 1) : len - 1;
    u32 end = window < len - 1 - seen ? seen + window + 1 : len;
    u32 to = (end + TILE - 1) / TILE;
    load_rows<D>(queries, q, q_stride, first, len);
    u32 r = THREAD / 4, quarter = THREAD % 4;
    float o[D / 4], top = FAR_BELOW, sum = 0.0f;
    UNROLL for (int i = 0; i < D / 4; i++) o[i] = 0.0f;
    for (u32 t = from; t < to; t++) {
        barrier();
        load_rows<D>(keys, k, k_stride, t * TILE, len);
        load_rows<D>(values, v, v_stride, t * TILE, len);
        barrier();
        float s[TILE / 4], most = top;
        UNROLL for (int j = 0; j < TILE / 4; j++) {
            u32 at = quarter + 4 * j, key = t * TILE + at;
            float dot = 0.0f;
            UNROLL_BY_4 for (int c = 0; c < D; c++) dot += queries[r * (D + 4) + c] * keys[at * (D + 4) + c];
            int distance = (int)key - (int)(first + r);
            float score = dot * scale + distance_bias<BIAS>(bias, head, (int)reach, distance);
            bool visible = key < len && (u32)(distance < 0 ? -distance : distance) <= window;
            s[j] = visible ? score : FAR_BELOW;
            most = larger(most, s[j]);
        }
        most = larger(most, shuffle_xor(most, 1));
        most = larger(most, shuffle_xor(most, 2));
        float shrink = expf(top - most);
        top = most;
        sum *= shrink;
        UNROLL for (int j = 0; j < TILE / 4; j++) {
            float weight = expf(s[j] - top);
            weights[r * (TILE + 1) + quarter + 4 * j] = weight;
            sum += weight;
        }
        barrier();
        UNROLL for (int i = 0; i < D / 4; i++) o[i] *= shrink;
        UNROLL_BY_4 for (u32 j = 0; j < TILE; j++) {
            float weight = weights[r * (TILE + 1) + j];
            UNROLL for (int i = 0; i < D / 4; i++) o[i] += weight * values[j * (D + 4) + quarter + 4 * i];
        }
    }
    sum += shuffle_xor(sum, 1);
    sum += shuffle_xor(sum, 2);
    if (first + r >= len) return;
    float* to_row = out + (u64)(start + first + r) * out_stride + head * dim;
    UNROLL for (int i = 0; i < D / 4; i++) {
        u32 c = quarter + 4 * i;
        if (c < dim) to_row[c] = o[i] / sum;
    }
}

#define ATTENTION(name, D, BIAS)                                                                              \
    KERNEL(name, 128)(const float* q, const float* k, const float* v, u64 q_stride, u64 k_stride,             \
                      u64 v_stride, float* out, u64 out_stride, const u32* offsets, u32 heads, u32 dim,       \
                      u32 tiles, float scale, const float* bias, u32 reach, u32 window) {                     \
        attention<D, BIAS>(q, k, v, q_stride, k_stride, v_stride, out, out_stride, offsets, heads, dim,       \
                           tiles, scale, bias, reach, window);                                                \
    }                                                                                                         \
    ENTRY(name)
#define ATTENTIONS(D)                                                                                         \
    ATTENTION(attention_f32_##D##_none, D, BIAS_NONE)                                                         \
    ATTENTION(attention_f32_##D##_distance, D, BIAS_BY_DISTANCE)                                              \
    ATTENTION(attention_f32_##D##_alibi, D, BIAS_ALIBI)
ATTENTIONS(32)
ATTENTIONS(64)
ATTENTIONS(128)
