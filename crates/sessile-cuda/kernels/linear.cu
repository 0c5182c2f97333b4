// x · Wᵀ with its epilogue, for machines without cuBLASLt. K is summed in one chain, ascending,
// whatever the number of rows. W is [n, k]; a gated one has gate and value in neighbouring rows, so
// that both columns of an output meet in one thread.
#include "prelude.cuh"

enum { STORE = 0, GELU = 1, RELU = 2, GELU_GATED = 3, RESIDUAL = 4 };

// Two neighbouring columns (the even one first) of one row of the product.
template <class T>
DEVICE void store_pair(float low, float high, u32 row, u32 col, u32 n, const float* bias, u32 epilogue, void* out,
                       u64 out_stride, bool wide) {
    bool both = col + 1 < n;
    if (bias) {
        low += bias[col];
        if (both) high += bias[col + 1];
    }
    if (epilogue == GELU) {
        low = gelu(low);
        high = gelu(high);
    }
    if (epilogue == RELU) {
        low = larger(low, 0.0f);
        high = larger(high, 0.0f);
    }
    if (epilogue == GELU_GATED) {
        low = gelu(low) * high;
        col /= 2;
        both = false;
    }
    u64 at = (u64)row * out_stride + col;
    if (wide) {
        float* to = (float*)out + at;
        if (epilogue == RESIDUAL) {
            low += to[0];
            if (both) high += to[1];
        }
        to[0] = low;
        if (both) to[1] = high;
    } else {
        typename T::Store* to = (typename T::Store*)out + at;
        to[0] = T::down(low);
        if (both) to[1] = T::down(high);
    }
}

// --- 16 bits: a block of eight warps has 128 × 128 of the product, each warp 64 × 32.
#define TILE 128
#define DEPTH 32
#define STAGES 3

DEVICE u32 place(u32 r, u32 c) { return (r * 4 + (c ^ ((r >> 1) & 3))) * 8; }

// 128 rows and 32 columns from `k0` on; what lies outside is zero.
DEVICE void load_tile(u16* tile, const u16* x, u64 stride, u32 first, u32 rows, u32 k0, u32 k) {
    for (u32 i = THREAD; i < TILE * 4; i += 256) {
        u32 r = i / 4, c = i % 4, col = k0 + c * 8;
        bool valid = first + r < rows && col < k;
        const u16* from = x + (valid ? (u64)(first + r) * stride + col : 0);
        u16* to = tile + place(r, c);
        if (valid && col + 8 > k) {
            for (u32 e = 0; e < 8; e++) to[e] = col + e < k ? from[e] : (u16)0;
        } else {
            copy16(to, from, valid);
        }
    }
}

template <class T>
DEVICE void linear(const u16* x, u64 x_stride, const u16* w, u64 w_stride, const float* bias, void* out,
                   u64 out_stride, u32 rows, u32 n, u32 k, u32 epilogue, u32 wide) {
    u16* tiles = (u16*)DYNAMIC_SHARED;
    u32 across = (n + TILE - 1) / TILE, row0 = BLOCK / across * TILE, col0 = BLOCK % across * TILE;
    u32 lane = THREAD & 31, warp = THREAD >> 5, warp_row = warp / 4 * 64, warp_col = warp % 4 * 32;
    u32 steps = (k + DEPTH - 1) / DEPTH;
    UNROLL for (u32 s = 0; s < STAGES - 1; s++) {
        if (s < steps) {
            load_tile(tiles + s * 2 * TILE * DEPTH, x, x_stride, row0, rows, s * DEPTH, k);
            load_tile(tiles + (s * 2 + 1) * TILE * DEPTH, w, w_stride, col0, n, s * DEPTH, k);
        }
        copies_commit();
    }
    float sums[4][4][4];
    UNROLL for (int i = 0; i < 4; i++) UNROLL for (int j = 0; j < 4; j++) UNROLL for (int e = 0; e < 4; e++)
        sums[i][j][e] = 0.0f;
    for (u32 step = 0; step < steps; step++) {
        copies_wait<STAGES - 2>();
        // Everybody's copies are there, and everybody has done with the stage that is filled next.
        barrier();
        u32 next = step + STAGES - 1;
        if (next < steps) {
            u16* stage = tiles + next % STAGES * 2 * TILE * DEPTH;
            load_tile(stage, x, x_stride, row0, rows, next * DEPTH, k);
            load_tile(stage + TILE * DEPTH, w, w_stride, col0, n, next * DEPTH, k);
        }
        copies_commit();
        const u16* tile_x = tiles + step % STAGES * 2 * TILE * DEPTH;
        const u16* tile_w = tile_x + TILE * DEPTH;
        UNROLL for (int h = 0; h < DEPTH / 16; h++) {
            u32 a[4][4], b[2][4];
            UNROLL for (int i = 0; i < 4; i++)
                load_matrices(a[i], tile_x + place(warp_row + i * 16 + (lane & 15), h * 2 + (lane >> 4)));
            UNROLL for (int j = 0; j < 2; j++)
                load_matrices(b[j], tile_w + place(warp_col + j * 16 + (lane >> 4) * 8 + (lane & 7),
                                                   h * 2 + ((lane >> 3) & 1)));
            UNROLL for (int i = 0; i < 4; i++) UNROLL for (int j = 0; j < 4; j++)
                T::multiply(sums[i][j], a[i], b[j / 2] + j % 2 * 2);
        }
    }
    UNROLL for (int i = 0; i < 4; i++) UNROLL for (int j = 0; j < 4; j++) UNROLL for (int half = 0; half < 2; half++) {
        u32 row = row0 + warp_row + i * 16 + lane / 4 + half * 8, col = col0 + warp_col + j * 8 + 2 * (lane & 3);
        if (row < rows && col < n)
            store_pair<T>(sums[i][j][half * 2], sums[i][j][half * 2 + 1], row, col, n, bias, epilogue, out,
                          out_stride, wide);
    }
}
#define LINEAR(name, T)                                                                                       \
    KERNEL(name, 256)(const u16* x, u64 x_stride, const u16* w, u64 w_stride, const float* bias, void* out,   \
                      u64 out_stride, u32 rows, u32 n, u32 k, u32 epilogue, u32 wide) {                       \
        linear<T>(x, x_stride, w, w_stride, bias, out, out_stride, rows, n, k, epilogue, wide);               \
    }                                                                                                         \
    ENTRY(name)
LINEAR(linear_bf16, Bf16)
LINEAR(linear_f16, F16)

// --- f32: a block of 256 threads has 64 × 64 of the product, each thread 4 × 4.
#define SIDE 64
#define STEP 16
KERNEL(linear_f32, 256)(const float* x, u64 x_stride, const float* w, u64 w_stride, const float* bias, void* out,
                        u64 out_stride, u32 rows, u32 n, u32 k, u32 epilogue, u32 wide) {
    SHARED(float, tile_x, STEP * (SIDE + 4));
    SHARED(float, tile_w, STEP * (SIDE + 4));
    u32 across = (n + SIDE - 1) / SIDE, row0 = BLOCK / across * SIDE, col0 = BLOCK % across * SIDE;
    u32 r = THREAD / 16 * 4, c = THREAD % 16 * 4;
    float sums[4][4];
    UNROLL for (int i = 0; i < 4; i++) UNROLL for (int j = 0; j < 4; j++) sums[i][j] = 0.0f;
    for (u32 k0 = 0; k0 < k; k0 += STEP) {
        barrier();
        for (u32 i = THREAD; i < SIDE * STEP; i += 256) {
            u32 row = i / STEP, at = i % STEP;
            bool inside = k0 + at < k;
            tile_x[at * (SIDE + 4) + row] = inside && row0 + row < rows ? x[(u64)(row0 + row) * x_stride + k0 + at] : 0.0f;
            tile_w[at * (SIDE + 4) + row] = inside && col0 + row < n ? w[(u64)(col0 + row) * w_stride + k0 + at] : 0.0f;
        }
        barrier();
        UNROLL for (int at = 0; at < STEP; at++) {
            float a[4], b[4];
            UNROLL for (int i = 0; i < 4; i++) {
                a[i] = tile_x[at * (SIDE + 4) + r + i];
                b[i] = tile_w[at * (SIDE + 4) + c + i];
            }
            UNROLL for (int i = 0; i < 4; i++) UNROLL for (int j = 0; j < 4; j++)
                sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
        }
    }
    UNROLL for (int i = 0; i < 4; i++) UNROLL for (int j = 0; j < 4; j += 2) {
        if (row0 + r + i < rows && col0 + c + j < n)
            store_pair<F32>(sums[i][j], sums[i][j + 1], row0 + r + i, col0 + c + j, n, bias, epilogue, out, out_stride,
                            wide);
    }
}
ENTRY(linear_f32)
