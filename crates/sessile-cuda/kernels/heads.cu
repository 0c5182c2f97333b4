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

// Queries, keys and values (block y) of every row (block x) side by side, `padded` columns a head,
// zeros behind the last: what the tensor cores want. Queries and keys are rotated on the way.
template <class T>
DEVICE void pack(const typename T::Store* q, const typename T::Store* k, const typename T::Store* v, u64 q_stride,
                 u64 k_stride, u64 v_stride, typename T::Store* q_out, typename T::Store* k_out,
                 typename T::Store* v_out, u32 heads, u32 dim, u32 padded, const float* table, const u32* offsets,
                 u32 sequences) {
    u32 row = BLOCK, which = BLOCK_Y;
    const typename T::Store* from = which == 0 ? q + row * q_stride : which == 1 ? k + row * k_stride : v + row * v_stride;
    typename T::Store* to = (which == 0 ? q_out : which == 1 ? k_out : v_out) + (u64)row * heads * padded;
    const float* angles = 0;
    if (table && which < 2) angles = table + (u64)(row - offsets[part_of(row, offsets, sequences)]) * dim;
    if constexpr (sizeof(typename T::Store) == 2) {
        // 8 columns of the lower half of a head and those they are rotated with.
        u32 half = dim / 2, chunks = half / 8;
        if (angles && dim == padded && dim % 16 == 0 && (((u64)from | (u64)to) & 15) == 0) {
            for (u32 i = THREAD; i < heads * chunks; i += THREADS) {
                u32 at = i / chunks * dim + i % chunks * 8;
                const float* cosines = angles + i % chunks * 8;
                const float* sines = cosines + half;
                Chunk low = *(const Chunk*)(from + at), high = *(const Chunk*)(from + at + half);
                UNROLL for (u32 e = 0; e < 4; e++) {
                    float x0 = T::up((u16)low.word[e]), x1 = T::up((u16)(low.word[e] >> 16));
                    float y0 = T::up((u16)high.word[e]), y1 = T::up((u16)(high.word[e] >> 16));
                    float c0 = cosines[2 * e], c1 = cosines[2 * e + 1], s0 = sines[2 * e], s1 = sines[2 * e + 1];
                    low.word[e] = T::pack(x0 * c0 - y0 * s0, x1 * c1 - y1 * s1);
                    high.word[e] = T::pack(y0 * c0 + x0 * s0, y1 * c1 + x1 * s1);
                }
                *(Chunk*)(to + at) = low;
                *(Chunk*)(to + at + half) = high;
            }
            return;
        }
    }
    for (u32 i = THREAD; i < heads * padded; i += THREADS) {
        u32 head = i / padded, c = i % padded;
        to[i] = c < dim ? T::down(rotated<T>(from + head * dim, c, dim, angles)) : T::down(0.0f);
    }
}
#define PACK(name, T)                                                                                         \
    KERNEL(name, 128)(const T::Store* q, const T::Store* k, const T::Store* v, u64 q_stride, u64 k_stride,    \
                      u64 v_stride, T::Store* q_out, T::Store* k_out, T::Store* v_out, u32 heads, u32 dim,    \
                      u32 padded, const float* table, const u32* offsets, u32 sequences) {                    \
        pack<T>(q, k, v, q_stride, k_stride, v_stride, q_out, k_out, v_out, heads, dim, padded, table,        \
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

// The attention probabilities of one head of one sequence; block x is the query. For the few who
// want to look at them: nothing is packed, keys are rotated as they are read.
template <class T>
DEVICE void map_row(const typename T::Store* q, const typename T::Store* k, u64 q_stride, u64 k_stride,
                    const u32* offsets, u32 sequence, u32 head, u32 dim, float scale, const float* table, u32 kind,
                    const float* bias, u32 reach, u32 window, float* out, u64 out_stride) {
    SHARED(float, query, 128);
    SHARED(float, four, 4);
    u32 i = BLOCK, start = offsets[sequence], len = offsets[sequence + 1] - start;
    const typename T::Store* from = q + (start + i) * q_stride + head * dim;
    for (u32 c = THREAD; c < dim; c += THREADS)
        query[c] = rotated<T>(from, c, dim, table ? table + (u64)i * dim : 0);
    barrier();
    float* row = out + i * out_stride;
    float top = FAR_BELOW;
    for (u32 j = THREAD; j < len; j += THREADS) {
        const typename T::Store* key = k + (start + j) * k_stride + head * dim;
        const float* angles = table ? table + (u64)j * dim : 0;
        float dot = 0.0f;
        for (u32 c = 0; c < dim; c++) dot += query[c] * rotated<T>(key, c, dim, angles);
        int distance = (int)j - (int)i;
        float score = dot * scale + any_bias(kind, bias, head, (int)reach, distance);
        if ((u32)(distance < 0 ? -distance : distance) > window) score = FAR_BELOW;
        row[j] = score;
        top = larger(top, score);
    }
    top = block_max(top, four);
    float sum = 0.0f;
    for (u32 j = THREAD; j < len; j += THREADS) {
        row[j] = expf(row[j] - top);
        sum += row[j];
    }
    sum = block_sum(sum, four);
    for (u32 j = THREAD; j < len; j += THREADS) row[j] /= sum;
}
#define MAP(name, T)                                                                                          \
    KERNEL(name, 128)(const T::Store* q, const T::Store* k, u64 q_stride, u64 k_stride, const u32* offsets,   \
                      u32 sequence, u32 head, u32 dim, float scale, const float* table, u32 kind,             \
                      const float* bias, u32 reach, u32 window, float* out, u64 out_stride) {                 \
        map_row<T>(q, k, q_stride, k_stride, offsets, sequence, head, dim, scale, table, kind, bias, reach,   \
                   window, out, out_stride);                                                                  \
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
