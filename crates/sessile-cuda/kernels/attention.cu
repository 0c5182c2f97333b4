// Softmax attention of every sequence over itself, 16-bit heads on tensor cores: a block has 64
// queries of one head and passes over the keys in tiles of 64, with a running maximum and sum (Dao
// et al., 2022, arXiv:2205.14135). Tiles are counted from the sequence's start, so that a row's
// bytes depend on its own sequence alone.
#include "prelude.cuh"

#define TILE 64

// Where chunk `c` (8 values) of row `r` of a tile lies: the rows that are read together lie in
// different banks.
template <int D> DEVICE u32 place(u32 r, u32 c) {
    const u32 chunks = D / 8;
    u32 turn = chunks >= 8 ? (r & 7) : ((r >> 1) & 3);
    return (r * chunks + (c ^ turn)) * 8;
}

// 64 rows from `first` on into shared memory; rows from `len` on are zero.
template <int D> DEVICE void load_tile(u16* tile, const u16* head, u64 stride, u32 first, u32 len) {
    const u32 chunks = D / 8;
    for (u32 i = THREAD; i < TILE * chunks; i += 128) {
        u32 r = i / chunks, c = i % chunks;
        bool valid = first + r < len;
        copy16(tile + place<D>(r, c), head + (valid ? first + r : 0) * stride + c * 8, valid);
    }
}

template <class T, int D, int BIAS>
DEVICE void attention(const u16* q, const u16* k, const u16* v, u64 q_stride, u64 k_stride, u64 v_stride, u16* out,
                      u64 out_stride, const u32* offsets, u32 heads, u32 dim, u32 tiles, float scale,
                      const float* bias, u32 reach, u32 window) {
    u16* queries = (u16*)DYNAMIC_SHARED;
    u16* keys = queries + TILE * D;
    u16* values = keys + 2 * TILE * D;
    u32 tile = BLOCK % tiles, head = BLOCK / tiles % heads, sequence = BLOCK / tiles / heads;
    u32 start = offsets[sequence], len = offsets[sequence + 1] - start, first = tile * TILE;
    if (first >= len) return;
    u32 lane = THREAD & 31, warp = THREAD >> 5;
    q += start * q_stride + head * D;
    k += start * k_stride + head * D;
    v += start * v_stride + head * D;
    // The tiles of keys that some of these queries see.
    u32 from = first > window ? (first - window) / TILE : 0;
    u32 seen = first + (TILE - 1) < len ? first + (TILE - 1) : len - 1;
    u32 end = window < len - 1 - seen ? seen + window + 1 : len;
    u32 to = (end + TILE - 1) / TILE;

    load_tile<D>(queries, q, q_stride, first, len);
    load_tile<D>(keys, k, k_stride, from * TILE, len);
    load_tile<D>(values, v, v_stride, from * TILE, len);
    copies_commit();
    float o[D / 8][4], top0 = FAR_BELOW, top1 = FAR_BELOW, sum0 = 0.0f, sum1 = 0.0f;
    UNROLL for (int i = 0; i < D / 8; i++) UNROLL for (int e = 0; e < 4; e++) o[i][e] = 0.0f;
    u32 a[D / 16][4];
    for (u32 t = from; t < to; t++) {
        u32 current = (t - from) & 1;
        if (t + 1 < to) {
            load_tile<D>(keys + (current ^ 1) * TILE * D, k, k_stride, (t + 1) * TILE, len);
            load_tile<D>(values + (current ^ 1) * TILE * D, v, v_stride, (t + 1) * TILE, len);
            copies_commit();
            copies_wait<1>();
        } else {
            copies_wait<0>();
        }
        barrier();
        if (t == from) {
            UNROLL for (int i = 0; i < D / 16; i++)
                load_matrices(a[i], queries + place<D>(warp * 16 + (lane & 15), i * 2 + (lane >> 4)));
        }
        const u16* tile_keys = keys + current * TILE * D;
        const u16* tile_values = values + current * TILE * D;
        float s[8][4];
        UNROLL for (int j = 0; j < 8; j++) UNROLL for (int e = 0; e < 4; e++) s[j][e] = 0.0f;
        UNROLL for (int i = 0; i < D / 16; i++) UNROLL for (int j = 0; j < 4; j++) {
            u32 b[4];
            load_matrices(b, tile_keys + place<D>(j * 16 + (lane >> 4) * 8 + (lane & 7), i * 2 + ((lane >> 3) & 1)));
            T::multiply(s[2 * j], a[i], b);
            T::multiply(s[2 * j + 1], a[i], b + 2);
        }
        // Element e of a fragment: row lane / 4 (+ 8 from e = 2 on), column 2 (lane % 4) + e % 2.
        u32 row = first + warp * 16 + lane / 4;
        float new0 = top0, new1 = top1;
        UNROLL for (int j = 0; j < 8; j++) UNROLL for (int e = 0; e < 4; e++) {
            u32 key = t * TILE + j * 8 + 2 * (lane & 3) + (e & 1), query = row + (e >> 1) * 8;
            int distance = (int)key - (int)query;
            float score = s[j][e] * scale + distance_bias<BIAS>(bias, head, (int)reach, distance);
            bool visible = key < len && (u32)(distance < 0 ? -distance : distance) <= window;
            score = visible ? score * LOG2_E : FAR_BELOW;
            s[j][e] = score;
            if (e < 2) new0 = larger(score, new0); else new1 = larger(score, new1);
        }
        // Four lanes share a row.
        new0 = larger(new0, shuffle_xor(new0, 1));
        new0 = larger(new0, shuffle_xor(new0, 2));
        new1 = larger(new1, shuffle_xor(new1, 1));
        new1 = larger(new1, shuffle_xor(new1, 2));
        float shrink0 = exp2_fast(top0 - new0), shrink1 = exp2_fast(top1 - new1);
        top0 = new0;
        top1 = new1;
        sum0 *= shrink0;
        sum1 *= shrink1;
        UNROLL for (int i = 0; i < D / 8; i++) {
            o[i][0] *= shrink0;
            o[i][1] *= shrink0;
            o[i][2] *= shrink1;
            o[i][3] *= shrink1;
        }
        UNROLL for (int j = 0; j < 8; j++) {
            s[j][0] = exp2_fast(s[j][0] - top0);
            s[j][1] = exp2_fast(s[j][1] - top0);
            s[j][2] = exp2_fast(s[j][2] - top1);
            s[j][3] = exp2_fast(s[j][3] - top1);
            sum0 += s[j][0] + s[j][1];
            sum1 += s[j][2] + s[j][3];
        }
        UNROLL for (int j = 0; j < 4; j++) {
            u32 p[4] = {T::pack(s[2 * j][0], s[2 * j][1]), T::pack(s[2 * j][2], s[2 * j][3]),
                        T::pack(s[2 * j + 1][0], s[2 * j + 1][1]), T::pack(s[2 * j + 1][2], s[2 * j + 1][3])};
            UNROLL for (int i = 0; i < D / 16; i++) {
                u32 b[4];
                load_matrices_transposed(b, tile_values + place<D>(j * 16 + (lane & 15), i * 2 + (lane >> 4)));
                T::multiply(o[2 * i], p, b);
                T::multiply(o[2 * i + 1], p, b + 2);
            }
        }
        barrier();
    }
    sum0 += shuffle_xor(sum0, 1);
    sum0 += shuffle_xor(sum0, 2);
    sum1 += shuffle_xor(sum1, 1);
    sum1 += shuffle_xor(sum1, 2);
    float share0 = 1.0f / sum0, share1 = 1.0f / sum1;
    u32 row = first + warp * 16 + lane / 4;
    u16* to0 = out + (u64)(start + row) * out_stride + head * dim;
    u16* to1 = to0 + 8 * out_stride;
    UNROLL for (int i = 0; i < D / 8; i++) {
        u32 c = i * 8 + 2 * (lane & 3);
        // Heads whose columns are no multiple of 8 are not aligned for pairs.
        if (D == 64 || (dim & 7) == 0) {
            if (c < dim && row < len) *(u32*)(to0 + c) = T::pack(o[i][0] * share0, o[i][1] * share0);
            if (c < dim && row + 8 < len) *(u32*)(to1 + c) = T::pack(o[i][2] * share1, o[i][3] * share1);
        } else {
            UNROLL for (int e = 0; e < 2; e++) {
                if (c + e < dim && row < len) to0[c + e] = T::down(o[i][e] * share0);
                if (c + e < dim && row + 8 < len) to1[c + e] = T::down(o[i][2 + e] * share1);
            }
        }
    }
}

#define ATTENTION(name, T, D, BIAS)                                                                           \
    KERNEL(name, 128)(const u16* q, const u16* k, const u16* v, u64 q_stride, u64 k_stride, u64 v_stride,     \
                      u16* out, u64 out_stride, const u32* offsets, u32 heads, u32 dim, u32 tiles,            \
                      float scale, const float* bias, u32 reach, u32 window) {                                \
        attention<T, D, BIAS>(q, k, v, q_stride, k_stride, v_stride, out, out_stride, offsets, heads, dim,    \
                              tiles, scale, bias, reach, window);                                             \
    }                                                                                                         \
    ENTRY(name)
#define ATTENTIONS(format, T, D)                                                                              \
    ATTENTION(attention_##format##_##D##_none, T, D, BIAS_NONE)                                               \
    ATTENTION(attention_##format##_##D##_distance, T, D, BIAS_BY_DISTANCE)                                    \
    ATTENTION(attention_##format##_##D##_alibi, T, D, BIAS_ALIBI)
ATTENTIONS(bf16, Bf16, 32)
ATTENTIONS(bf16, Bf16, 64)
ATTENTIONS(bf16, Bf16, 128)
ATTENTIONS(f16, F16, 32)
ATTENTIONS(f16, F16, 64)
ATTENTIONS(f16, F16, 128)
