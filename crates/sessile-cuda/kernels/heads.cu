// Queries, keys and values on their way to attention, and the plain kinds of attention.
#include "prelude.cuh"

// Element `c` of a head, rotated by its position: c goes with c + dim / 2.
template <class T>
DEVICE float rotated(const typename T::Store* head, u32 c, u32 dim, const float* angles) {
    if (!angles) return T::up(head[c]);
    u32 half = dim / 2, at = c < half ? c : c - half;
    float cosine = angles[at], sine = angles[half + at], low = T::up(head[at]), high = T::up(head[at + half]);
    return c < half ? low * cosine - high * sine : high * cosine + low * sine;
}

// Eight columns of the lower half of a head and the eight of the upper half that they are rotated
// with.
template <class T> DEVICE void rotate(Chunk& low, Chunk& high, const Floats* cosine, const Floats* sine) {
    UNROLL for (u32 e = 0; e < 4; e++) {
        float x0 = T::up((u16)low.word[e]), x1 = T::up((u16)(low.word[e] >> 16));
        float y0 = T::up((u16)high.word[e]), y1 = T::up((u16)(high.word[e] >> 16));
        float c0 = cosine[e / 2].at[e % 2 * 2], c1 = cosine[e / 2].at[e % 2 * 2 + 1];
        float s0 = sine[e / 2].at[e % 2 * 2], s1 = sine[e / 2].at[e % 2 * 2 + 1];
        low.word[e] = T::pack(x0 * c0 - y0 * s0, x1 * c1 - y1 * s1);
        high.word[e] = T::pack(y0 * c0 + x0 * s0, y1 * c1 + x1 * s1);
    }
}

// Queries, keys and values (block y) of eight rows (block x) side by side, `padded` columns a head,
// zeros behind the last: what the tensor cores want. Queries and keys are rotated on the way.
#define PACKED_ROWS 8
template <class T>
DEVICE void pack(const typename T::Store* q, const typename T::Store* k, const typename T::Store* v, u64 q_stride,
                 u64 k_stride, u64 v_stride, typename T::Store* q_out, typename T::Store* k_out,
                 typename T::Store* v_out, u32 rows, u32 heads, u32 dim, u32 padded, const float* table,
                 const u32* offsets, u32 sequences) {
    SHARED(u32, position, PACKED_ROWS);
    u32 row0 = BLOCK * PACKED_ROWS, which = BLOCK_Y, width = heads * padded;
    bool rotates = table && which < 2;
    const typename T::Store* from = which == 0 ? q : which == 1 ? k : v;
    typename T::Store* to = which == 0 ? q_out : which == 1 ? k_out : v_out;
    u64 stride = which == 0 ? q_stride : which == 1 ? k_stride : v_stride;
    if (rotates) {
        u32 row = row0 + THREAD;
        if (THREAD < PACKED_ROWS && row < rows) position[THREAD] = row - offsets[part_of(row, offsets, sequences)];
        barrier();
    }
    if constexpr (sizeof(typename T::Store) == 2) {
        u32 chunks = padded / 16;
        if (rotates && dim == padded && is_aligned(from, stride) && is_aligned(to, width) && ((u64)table & 15) == 0) {
            // A thread has the same columns of some heads of one row, and their angles in registers.
            u32 chunk = THREAD % chunks, r = THREAD / chunks % PACKED_ROWS, group = THREAD / (chunks * PACKED_ROWS);
            if (row0 + r >= rows) return;
            const Floats* angles = (const Floats*)(table + (u64)position[r] * dim);
            Floats cosine[2] = {angles[2 * chunk], angles[2 * chunk + 1]};
            Floats sine[2] = {angles[dim / 8 + 2 * chunk], angles[dim / 8 + 2 * chunk + 1]};
            const Chunk* low_from = (const Chunk*)(from + (row0 + r) * stride) + chunk;
            Chunk* low_to = (Chunk*)(to + (u64)(row0 + r) * width) + chunk;
            for (u32 head = group; head < heads; head += THREADS / (chunks * PACKED_ROWS)) {
                Chunk low = low_from[head * 2 * chunks], high = low_from[head * 2 * chunks + chunks];
                rotate<T>(low, high, cosine, sine);
                low_to[head * 2 * chunks] = low;
                low_to[head * 2 * chunks + chunks] = high;
            }
            return;
        }
    }
    // Heads are padded to a power of two.
    u32 shift = padded == 32 ? 5 : padded == 64 ? 6 : 7;
    for (u32 r = 0; r < PACKED_ROWS && row0 + r < rows; r++) {
        const typename T::Store* row_from = from + (row0 + r) * stride;
        typename T::Store* row_to = to + (u64)(row0 + r) * width;
        const float* angles = rotates ? table + (u64)position[r] * dim : 0;
        for (u32 i = THREAD; i < width; i += THREADS) {
            u32 head = i >> shift, c = i & (padded - 1);
            row_to[i] = c < dim ? T::down(rotated<T>(row_from + head * dim, c, dim, angles)) : T::down(0.0f);
        }
    }
}
#define PACK(name, T)                                                                                         \
    KERNEL(name, 128)(const T::Store* q, const T::Store* k, const T::Store* v, u64 q_stride, u64 k_stride,    \
                      u64 v_stride, T::Store* q_out, T::Store* k_out, T::Store* v_out, u32 rows, u32 heads,   \
                      u32 dim, u32 padded, const float* table, const u32* offsets, u32 sequences) {           \
        pack<T>(q, k, v, q_stride, k_stride, v_stride, q_out, k_out, v_out, rows, heads, dim, padded, table,  \
                offsets, sequences);                                                                          \
    }                                                                                                         \
    ENTRY(name)
PACK(pack_f32, F32)
PACK(pack_bf16, Bf16)
PACK(pack_f16, F16)

DEVICE float any_bias(u32 kind, const float* bias, u32 head, int reach, int distance) {
    if (kind == BIAS_BY_DISTANCE) return distance_bias<BIAS_BY_DISTANCE>(bias, head, reach, distance);
    if (kind == BIAS_ALIBI) return distance_bias<BIAS_ALIBI>(bias, head, reach, distance);
    return 0.0f;
}

// Four neighbouring values.
template <class T> DEVICE Floats load_four(const typename T::Store* from) {
    if constexpr (sizeof(typename T::Store) == 2) {
        Pair pair = *(const Pair*)from;
        return Floats{T::up((u16)pair.word[0]), T::up((u16)(pair.word[0] >> 16)), T::up((u16)pair.word[1]),
                      T::up((u16)(pair.word[1] >> 16))};
    } else {
        return *(const Floats*)from;
    }
}

// The attention probabilities of one head of one sequence, for those who want to look at them:
// block x has eight queries, a thread one key at a time, which it reads and rotates once for all of
// them. Nothing is packed.
#define MAP_ROWS 8
template <class T>
DEVICE void map_rows(const typename T::Store* q, const typename T::Store* k, u64 q_stride, u64 k_stride,
                     const u32* offsets, u32 sequence, u32 head, u32 dim, float scale, const float* table, u32 kind,
                     const float* bias, u32 reach, u32 window, float* out, u64 out_stride) {
    SHARED(float, queries, MAP_ROWS * 128);
    SHARED(float, four, 4);
    u32 row0 = BLOCK * MAP_ROWS, start = offsets[sequence], len = offsets[sequence + 1] - start;
    // Column by column: the eight values that meet one of a key lie side by side.
    for (u32 i = THREAD; i < MAP_ROWS * dim; i += THREADS) {
        u32 r = i / dim, c = i % dim, row = smaller(row0 + r, len - 1);
        queries[c * MAP_ROWS + r] = rotated<T>(q + (start + row) * q_stride + head * dim, c, dim,
                                               table ? table + (u64)row * dim : 0);
    }
    barrier();
    bool by_four = dim % 8 == 0 && is_aligned(k + head * dim, k_stride) && ((u64)table & 15) == 0;
    for (u32 j = THREAD; j < len; j += THREADS) {
        const typename T::Store* key = k + (start + j) * k_stride + head * dim;
        const float* angles = table + (u64)j * dim;
        float dot[MAP_ROWS];
        UNROLL for (u32 r = 0; r < MAP_ROWS; r++) dot[r] = 0.0f;
        if (by_four) {
            for (u32 c = 0; c < dim / 2; c += 4) {
                Floats low = load_four<T>(key + c), high = load_four<T>(key + dim / 2 + c);
                if (table) {
                    Floats cosine = load_four<F32>(angles + c), sine = load_four<F32>(angles + dim / 2 + c);
                    UNROLL for (u32 e = 0; e < 4; e++) {
                        float x = low.at[e], y = high.at[e];
                        low.at[e] = x * cosine.at[e] - y * sine.at[e];
                        high.at[e] = y * cosine.at[e] + x * sine.at[e];
                    }
                }
                UNROLL for (u32 e = 0; e < 4; e++) {
                    const float* with_low = queries + (c + e) * MAP_ROWS;
                    const float* with_high = queries + (dim / 2 + c + e) * MAP_ROWS;
                    UNROLL for (u32 r = 0; r < MAP_ROWS; r++)
                        dot[r] = fmaf(with_high[r], high.at[e], fmaf(with_low[r], low.at[e], dot[r]));
                }
            }
        } else {
            for (u32 c = 0; c < dim; c++) {
                float x = table ? rotated<T>(key, c, dim, angles) : T::up(key[c]);
                UNROLL for (u32 r = 0; r < MAP_ROWS; r++) dot[r] += queries[c * MAP_ROWS + r] * x;
            }
        }
        UNROLL for (u32 r = 0; r < MAP_ROWS; r++) {
            if (row0 + r < len) out[(row0 + r) * out_stride + j] = dot[r] * scale;
        }
    }
    for (u32 i = row0; i < row0 + MAP_ROWS && i < len; i++) {
        float* row = out + i * out_stride;
        float top = FAR_BELOW, sum = 0.0f;
        // Each thread reads what it has written.
        for (u32 j = THREAD; j < len; j += THREADS) {
            int distance = (int)j - (int)i;
            float score = row[j] + any_bias(kind, bias, head, (int)reach, distance);
            if ((u32)(distance < 0 ? -distance : distance) > window) score = FAR_BELOW;
            row[j] = score;
            top = larger(top, score);
        }
        top = block_max(top, four);
        for (u32 j = THREAD; j < len; j += THREADS) {
            row[j] = expf(row[j] - top);
            sum += row[j];
        }
        float share = reciprocal_fast(block_sum(sum, four));
        for (u32 j = THREAD; j < len; j += THREADS) row[j] *= share;
    }
}
#define MAP(name, T)                                                                                          \
    KERNEL(name, 128, 4)(const T::Store* q, const T::Store* k, u64 q_stride, u64 k_stride, const u32* offsets, \
                      u32 sequence, u32 head, u32 dim, float scale, const float* table, u32 kind,             \
                      const float* bias, u32 reach, u32 window, float* out, u64 out_stride) {                 \
        map_rows<T>(q, k, q_stride, k_stride, offsets, sequence, head, dim, scale, table, kind, bias, reach,  \
                    window, out, out_stride);                                                                 \
    }                                                                                                         \
    ENTRY(name)
MAP(map_f32, F32)
MAP(map_bf16, Bf16)
MAP(map_f16, F16)

// Attention of one query row (block x) and head (block y) over the cells of its list. The scores
// lie in shared memory, one for every cell.
template <class T>
DEVICE void over_cells(const typename T::Store* q, u64 q_stride, const typename T::Store* keys, u64 keys_stride,
                       const typename T::Store* values, u64 values_stride, u32 cache_rows, const u32* cells,
                       const u32* cell_offsets, const u32* row_offsets, u32 lists, u32 dim, float scale, u32 kind,
                       const float* bias, u32 reach, float* out, u64 out_stride, u32* fault) {
    SHARED(float, four, 4);
    float* scores = (float*)DYNAMIC_SHARED;
    u32 row = BLOCK, head = BLOCK_Y, list = part_of(row, row_offsets, lists);
    u32 first = cell_offsets[list], len = cell_offsets[list + 1] - first;
    const typename T::Store* query = q + row * q_stride + head * dim;
    float top = FAR_BELOW;
    for (u32 j = THREAD; j < len; j += THREADS) {
        u32 cell = checked(cells[first + j], cache_rows, FAULT_CELL, fault);
        const typename T::Store* key = keys + cell * keys_stride + head * dim;
        float dot = 0.0f;
        for (u32 c = 0; c < dim; c++) dot += T::up(query[c]) * T::up(key[c]);
        float score = dot * scale + any_bias(kind, bias, head, (int)reach, (int)j - (int)(len - 1));
        scores[j] = score;
        top = larger(top, score);
    }
    top = block_max(top, four);
    float sum = 0.0f;
    for (u32 j = THREAD; j < len; j += THREADS) {
        scores[j] = expf(scores[j] - top);
        sum += scores[j];
    }
    sum = block_sum(sum, four);
    for (u32 c = THREAD; c < dim; c += THREADS) {
        float value = 0.0f;
        for (u32 j = 0; j < len; j++) {
            u32 cell = checked(cells[first + j], cache_rows, FAULT_CELL, fault);
            value += scores[j] * T::up(values[cell * values_stride + head * dim + c]);
        }
        out[row * out_stride + head * dim + c] = len ? value / sum : 0.0f;
    }
}
#define CELLS(name, T)                                                                                        \
    KERNEL(name, 128)(const T::Store* q, u64 q_stride, const T::Store* keys, u64 keys_stride,                 \
                      const T::Store* values, u64 values_stride, u32 cache_rows, const u32* cells,            \
                      const u32* cell_offsets, const u32* row_offsets, u32 lists, u32 dim, float scale,       \
                      u32 kind, const float* bias, u32 reach, float* out, u64 out_stride, u32* fault) {       \
        over_cells<T>(q, q_stride, keys, keys_stride, values, values_stride, cache_rows, cells, cell_offsets, \
                      row_offsets, lists, dim, scale, kind, bias, reach, out, out_stride, fault);             \
    }                                                                                                         \
    ENTRY(name)
CELLS(cells_f32, F32)
CELLS(cells_bf16, Bf16)
CELLS(cells_f16, F16)
