// Softmax attention of every sequence over itself, 16-bit heads on tensor cores: a block has 128
// queries of one head and passes over the keys in tiles of 32 or 64, with a running maximum and sum
// (Dao et al., 2022, arXiv:2205.14135). Tiles are counted from the sequence's start, so that a
// row's bytes depend on its own sequence alone.
#include "prelude.cuh"

// Byte of a tile where chunk `c` (8 values) of row `r` lies: rows that are read together lie in
// different banks. Chunks change places within a row, and every 8 rows alike: row r + 8n lies 8n
// rows behind row r, and chunk c ^ n where `place ^ 16n` is.
template <int D> DEVICE u32 place(u32 r, u32 c) {
    const u32 chunks = D / 8;
    u32 turn = chunks >= 8 ? (r & 7) : ((r >> 1) & 3);
    return (r * chunks + (c ^ turn)) * 16;
}

// Rows from `first` on into shared memory; from `len` on it is the last one again.
template <int D, int COUNT> DEVICE void load_tile(u8* tile, const u16* head, u64 stride, u32 first, u32 len) {
    const u32 chunks = D / 8, step = 128 / chunks;
    u32 r = THREAD / chunks, c = THREAD % chunks;
    u8* to = tile + place<D>(r, c);
    if (first + COUNT <= len) {
        const u16* from = head + (first + r) * stride + c * 8;
        UNROLL for (u32 i = 0; i < COUNT / step; i++) {
            copy16(to + i * step * D * 2, from);
            from += step * stride;
        }
    } else {
        ROLLED for (u32 i = 0; i < COUNT / step; i++)
            copy16(to + i * step * D * 2, head + smaller(first + r + i * step, len - 1) * stride + c * 8);
    }
}

// Queries of a block: each of four warps has M fragments of 16.
#define M 2
#define ROWS (64 * M)

// TILE keys at a time. HELD: the queries stay in registers.
template <class T, int D, int TILE, bool HELD, int BIAS>
DEVICE void attention(const u16* q, const u16* k, const u16* v, u64 q_stride, u64 k_stride, u64 v_stride, u16* out,
                      u64 out_stride, const u32* offsets, u32 heads, u32 dim, u32 tiles, float scale,
                      const float* bias, int reach, int window) {
    const u32 BYTES = TILE * D * 2, KEYS = ROWS * D * 2, VALUES = KEYS + 2 * BYTES;
    u8* shared = DYNAMIC_SHARED;
    u32 tile = BLOCK % tiles, head = BLOCK / tiles % heads, sequence = BLOCK / tiles / heads;
    u32 start = offsets[sequence], len = offsets[sequence + 1] - start, first = tile * ROWS;
    if (first >= len) return;
    u32 lane = THREAD & 31, warp = of_warp(THREAD >> 5);
    q += start * q_stride + head * D;
    k += start * k_stride + head * D;
    v += start * v_stride + head * D;
    // The tiles of keys that some of these queries see.
    u32 from = first > (u32)window ? (first - window) / TILE : 0;
    u32 seen = smaller(first + ROWS, len) - 1;
    u32 end = (u32)window < len - 1 - seen ? seen + window + 1 : len;
    u32 to = (end + TILE - 1) / TILE;

    // The bias of every distance from one of the queries to a key of a tile, of two tiles in turn.
    // Value 0 is for the last query and the first key.
    SHARED(float, near, BIAS == BIAS_BY_DISTANCE ? 2 * (ROWS + TILE) : 1);
    // A tile beyond the reach has one bias: behind the queries, or before them.
    SHARED(float, far, 2);
    float slope = 0.0f;
    if (BIAS == BIAS_ALIBI) slope = -bias[head];
    if (BIAS == BIAS_BY_DISTANCE) {
        bias += head * (2 * reach + 1) + reach;
        if (THREAD < 2) far[THREAD] = bias[THREAD ? -reach : reach];
    }
    auto is_far = [&](int least) { return least >= reach || least + ROWS + TILE - 2 <= -reach; };
    auto load = [&](u32 t, u32 turn) {
        load_tile<D, TILE>(shared + KEYS + turn * BYTES, k, k_stride, t * TILE, len);
        load_tile<D, TILE>(shared + VALUES + turn * BYTES, v, v_stride, t * TILE, len);
        int least = (int)(t * TILE) - (int)(first + ROWS - 1);
        if (BIAS == BIAS_BY_DISTANCE && !is_far(least)) {
            for (u32 i = THREAD; i < ROWS + TILE - 1; i += 128) {
                int distance = least + (int)i;
                distance = distance < -reach ? -reach : (distance > reach ? reach : distance);
                copy4(near + turn * (ROWS + TILE) + i, bias + distance);
            }
        }
        copies_commit();
    };
    load_tile<D, ROWS>(shared, q, q_stride, first, len);
    load(from, 0);
    copies_wait<0>();
    barrier();

    // Element e of a fragment: row lane / 4 (+ 8 from e = 2 on), column 2 (lane % 4) + e % 2.
    u32 row0 = first + warp * 16 * M, row = row0 + lane / 4, column = 2 * (lane & 3);
    // Scores are compared as they come from the tensor cores, so the scale must be above 0; one that
    // makes all of them equal is none.
    if (scale < 1e-20f) {
        bool is_flat = scale > -1e-20f;
        ROLLED for (u32 i = THREAD; i < ROWS * D / 2; i += 128) {
            u32* pair = (u32*)shared + i;
            *pair = is_flat ? 0 : *pair ^ 0x80008000u;
        }
        scale = is_flat ? 1.0f : -scale;
        barrier();
    }
    u32 query_at = place<D>(row0 - first + (lane & 15), lane >> 4);
    u32 a[M][HELD ? D / 16 : 1][4];
    if (HELD) {
        UNROLL for (int m = 0; m < M; m++) UNROLL for (int i = 0; i < D / 16; i++)
            load_matrices(a[m][i], shared + (query_at ^ (i * 32)) + m * 16 * D * 2);
    }
    // What a score is multiplied with for a power of 2.
    float factor = BIAS == BIAS_NONE ? scale * LOG2_E : LOG2_E;
    float o[M][D / 8][4], top[M][2], sum[M][2];
    UNROLL for (int m = 0; m < M; m++) {
        UNROLL for (int i = 0; i < D / 8; i++) UNROLL for (int e = 0; e < 4; e++) o[m][i][e] = 0.0f;
        UNROLL for (int h = 0; h < 2; h++) {
            top[m][h] = FAR_BELOW;
            sum[m][h] = 0.0f;
        }
    }
    u32 key_place = KEYS + place<D>((lane >> 4) * 8 + (lane & 7), (lane >> 3) & 1);
    u32 value_place = VALUES + place<D>(lane & 15, lane >> 4);

    for (u32 t = from; t < to; t++) {
        u32 turn = (t - from) & 1;
        if (t + 1 < to) load(t + 1, turn ^ 1);
        // From the warp's first query to the tile's first key.
        int apart = (int)(t * TILE) - (int)row0;
        if (row0 < len && apart - (16 * M - 1) <= window && -(TILE - 1) - apart <= window) {
            float s[M][TILE / 8][4];
            UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < TILE / 8; j++) UNROLL for (int e = 0; e < 4; e++)
                s[m][j][e] = 0.0f;
            u32 key_at = key_place + turn * BYTES, value_at = value_place + turn * BYTES;
            UNROLL for (int i = 0; i < D / 16; i++) {
                const int held = HELD ? i : 0;
                if (!HELD) {
                    UNROLL for (int m = 0; m < M; m++)
                        load_matrices(a[m][0], shared + (query_at ^ (i * 32)) + m * 16 * D * 2);
                }
                UNROLL for (int j = 0; j < TILE / 16; j++) {
                    u32 b[4];
                    load_matrices(b, shared + (key_at ^ (i * 32)) + j * 16 * D * 2);
                    UNROLL for (int m = 0; m < M; m++) {
                        T::multiply(s[m][2 * j], a[m][held], b);
                        T::multiply(s[m][2 * j + 1], a[m][held], b + 2);
                    }
                }
            }
            if (BIAS == BIAS_BY_DISTANCE) {
                int least = (int)(t * TILE) - (int)(first + ROWS - 1);
                if (is_far(least)) {
                    float one = far[least >= reach ? 0 : 1];
                    UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < TILE / 8; j++) UNROLL for (int e = 0; e < 4; e++)
                        s[m][j][e] = fmaf(s[m][j][e], scale, one);
                } else {
                    const float* at = near + turn * (ROWS + TILE) + (ROWS - 1 + column - (row - first));
                    UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < TILE / 8; j++) UNROLL for (int e = 0; e < 4; e++)
                        s[m][j][e] = fmaf(s[m][j][e], scale, at[j * 8 + (e & 1) - m * 16 - (e >> 1) * 8]);
                }
            }
            if (BIAS == BIAS_ALIBI) {
                float distance = (float)((int)(t * TILE + column) - (int)row);
                UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < TILE / 8; j++) UNROLL for (int e = 0; e < 4; e++)
                    s[m][j][e] = fmaf(s[m][j][e], scale,
                                      slope * fabsf(distance + (float)(j * 8 + (e & 1) - m * 16 - (e >> 1) * 8)));
            }
            // Most tiles are seen whole.
            if (t * TILE + TILE > len || apart + (TILE - 1) > window || 16 * M - 1 - apart > window) {
                int first_key = (int)(t * TILE + column);
                UNROLL for (int m = 0; m < M; m++) UNROLL for (int h = 0; h < 2; h++) {
                    // The keys that this query sees, counted from the thread's first.
                    int query = (int)row + m * 16 + h * 8, least = query - window - first_key;
                    int most = (int)smaller(query + window, len - 1) - first_key;
                    UNROLL for (int j = 0; j < TILE / 8; j++) UNROLL for (int e = 0; e < 2; e++) {
                        bool visible = j * 8 + e >= least && j * 8 + e <= most;
                        s[m][j][2 * h + e] = visible ? s[m][j][2 * h + e] : FAR_BELOW;
                    }
                }
            }
            UNROLL for (int m = 0; m < M; m++) UNROLL for (int h = 0; h < 2; h++) {
                float now = top[m][h];
                UNROLL for (int j = 0; j < TILE / 8; j++) now = larger(larger(s[m][j][2 * h], s[m][j][2 * h + 1]), now);
                // Four lanes share a row.
                now = larger(now, shuffle_xor(now, 1));
                now = larger(now, shuffle_xor(now, 2));
                float shrink = exp2_fast((top[m][h] - now) * factor), base = now * factor;
                top[m][h] = now;
                sum[m][h] *= shrink;
                UNROLL for (int i = 0; i < D / 8; i++) {
                    o[m][i][2 * h] *= shrink;
                    o[m][i][2 * h + 1] *= shrink;
                }
                UNROLL for (int j = 0; j < TILE / 8; j++) {
                    float* pair = s[m][j] + 2 * h;
                    pair[0] = exp2_fast(fmaf(pair[0], factor, -base));
                    pair[1] = exp2_fast(fmaf(pair[1], factor, -base));
                    sum[m][h] += pair[0] + pair[1];
                }
            }
            UNROLL for (int j = 0; j < TILE / 16; j++) {
                u32 p[M][4];
                UNROLL for (int m = 0; m < M; m++) UNROLL for (int e = 0; e < 4; e++) {
                    const float* pair = s[m][2 * j + (e >> 1)] + 2 * (e & 1);
                    p[m][e] = T::pack(pair[0], pair[1]);
                }
                UNROLL for (int i = 0; i < D / 16; i++) {
                    u32 b[4];
                    load_matrices_transposed(b, shared + (value_at ^ (i * 32)) + j * 16 * D * 2);
                    UNROLL for (int m = 0; m < M; m++) {
                        T::multiply(o[m][2 * i], p[m], b);
                        T::multiply(o[m][2 * i + 1], p[m], b + 2);
                    }
                }
            }
        }
        // The next tile has come, and everybody has done with this one.
        copies_wait<0>();
        barrier();
    }
    // Heads of an odd number of columns are not aligned for pairs.
    bool by_pairs = (dim & 1) == 0 && (((u64)out | out_stride * 2) & 3) == 0;
    UNROLL for (int m = 0; m < M; m++) UNROLL for (int h = 0; h < 2; h++) {
        float all = sum[m][h];
        all += shuffle_xor(all, 1);
        all += shuffle_xor(all, 2);
        float share = 1.0f / all;
        u32 query = row + m * 16 + h * 8;
        if (query >= len) continue;
        u16* to_row = out + (start + query) * out_stride + head * dim;
        UNROLL for (int i = 0; i < D / 8; i++) {
            u32 c = i * 8 + column;
            u32 pair = T::pack(o[m][i][2 * h] * share, o[m][i][2 * h + 1] * share);
            if (c >= dim) break;
            if (by_pairs) {
                *(u32*)(to_row + c) = pair;
            } else {
                to_row[c] = (u16)pair;
                if (c + 1 < dim) to_row[c + 1] = (u16)(pair >> 16);
            }
        }
    }
}

#define ATTENTION(name, T, D, TILE, HELD, BIAS)                                                               \
    KERNEL(name, 128)(const u16* q, const u16* k, const u16* v, u64 q_stride, u64 k_stride, u64 v_stride,     \
                      u16* out, u64 out_stride, const u32* offsets, u32 heads, u32 dim, u32 tiles,            \
                      float scale, const float* bias, u32 reach, u32 window) {                                \
        attention<T, D, TILE, HELD, BIAS>(q, k, v, q_stride, k_stride, v_stride, out, out_stride, offsets,    \
                                          heads, dim, tiles, scale, bias, (int)reach,                         \
                                          (int)smaller(window, 1u << 30));                                    \
    }                                                                                                         \
    ENTRY(name)
#define ATTENTIONS(format, T, D, TILE, HELD)                                                                  \
    ATTENTION(attention_##format##_##D##_none, T, D, TILE, HELD, BIAS_NONE)                                   \
    ATTENTION(attention_##format##_##D##_distance, T, D, TILE, HELD, BIAS_BY_DISTANCE)                        \
    ATTENTION(attention_##format##_##D##_alibi, T, D, TILE, HELD, BIAS_ALIBI)
// Shared memory and registers for two blocks, or three, at a time.
ATTENTIONS(bf16, Bf16, 32, 64, true)
ATTENTIONS(bf16, Bf16, 64, 64, true)
ATTENTIONS(bf16, Bf16, 128, 32, false)
ATTENTIONS(f16, F16, 32, 64, true)
ATTENTIONS(f16, F16, 64, 64, true)
ATTENTIONS(f16, F16, 128, 32, false)
