// What every kernel is written in: number formats, tensor cores, shared memory, shuffles.
//
// No CUDA header is included. On a GPU these are inline PTX and the compiler's own functions; on a
// CPU `tests/emulation/emulator.h` gives them the meaning that the PTX manual gives the
// instructions, so that the tests run the very source of every kernel.
#pragma once
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef __CUDACC__
#define KERNEL(name, ...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__) name
#define ENTRY(name)
#define DEVICE __device__ __forceinline__
#define UNROLL _Pragma("unroll")
// Not worth its code.
#define ROLLED _Pragma("unroll 1")
#define UNROLL_BY_4 _Pragma("unroll 4")
#define THREAD ((u32)threadIdx.x)
#define THREADS ((u32)blockDim.x)
#define BLOCK ((u32)blockIdx.x)
#define BLOCK_Y ((u32)blockIdx.y)
#define BLOCKS ((u32)gridDim.x)
extern __shared__ __align__(128) u8 dynamic_shared[];
#define DYNAMIC_SHARED dynamic_shared
#define SHARED(type, name, count) __shared__ __align__(128) type name[count]

DEVICE void barrier() { __syncthreads(); }
DEVICE float shuffle_xor(float value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
// The value of a warp's first thread, where all have the same: the compiler learns that.
DEVICE u32 of_warp(u32 value) { return __shfl_sync(0xffffffffu, value, 0); }

DEVICE u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
// Copies 16 bytes to shared memory in the background, zeros where `valid` is false.
DEVICE void copy16(void* to, const void* from, bool valid) {
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from), "r"(bytes));
}
DEVICE void copy16(void* to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(shared_address(to)), "l"(from));
}
DEVICE void copy4(void* to, const void* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;\n" ::"r"(shared_address(to)), "l"(from));
}
DEVICE void copies_commit() { asm volatile("cp.async.commit_group;\n"); }
// Waits until at most `PENDING` groups of copies are under way.
template <int PENDING> DEVICE void copies_wait() { asm volatile("cp.async.wait_group %0;\n" ::"n"(PENDING)); }
DEVICE void load_matrices(u32* r, const void* p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(p)));
}
DEVICE void load_matrices_transposed(u32* r, const void* p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(p)));
}
DEVICE float exp2_fast(float x) {
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
// 1 / x to 23 bits.
DEVICE float reciprocal_fast(float x) {
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
DEVICE float bits_float(u32 bits) { return __uint_as_float(bits); }

struct Bf16 {
    typedef u16 Store;
    static DEVICE float up(u16 x) { return __uint_as_float((u32)x << 16); }
    static DEVICE u16 down(float x) {
        u16 r;
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(x));
        return r;
    }
    // `low` in the lower half.
    static DEVICE u32 pack(float low, float high) {
        u32 r;
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
        return r;
    }
    // d += a · b over 16 × 8 × 16.
    static DEVICE void multiply(float* d, const u32* a, const u32* b) {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
};
struct F16 {
    typedef u16 Store;
    static DEVICE float up(u16 x) {
        float r;
        asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x));
        return r;
    }
    static DEVICE u16 down(float x) {
        u16 r;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x));
        return r;
    }
    static DEVICE u32 pack(float low, float high) {
        u32 r;
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
        return r;
    }
    static DEVICE void multiply(float* d, const u32* a, const u32* b) {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
};
#else
#include "emulator.h"
#endif

struct F32 {
    typedef float Store;
    static DEVICE float up(float x) { return x; }
    static DEVICE float down(float x) { return x; }
};

// 16 and 8 bytes that are read and written at once.
struct alignas(16) Chunk {
    u32 word[4];
};
struct alignas(8) Pair {
    u32 word[2];
};
struct alignas(16) Floats {
    float at[4];
};
// Whether rows that start here and lie `stride` elements apart are read in chunks.
template <class S> DEVICE bool is_aligned(const S* start, u64 stride) {
    return (((u64)start | stride * sizeof(S)) & 15) == 0;
}

// Where there is no number: −2¹⁰⁰, whose products are exact.
#define FAR_BELOW (-1.2676506002282294e30f)
#define LOG2_E 1.4426950408889634f

// The number of the two where one is none.
DEVICE float larger(float a, float b) { return fmaxf(a, b); }
DEVICE u32 smaller(u32 a, u32 b) { return a < b ? a : b; }

// The exact GELU, x · Φ(x).
DEVICE float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); }

DEVICE float warp_sum(float x) {
    for (int mask = 16; mask > 0; mask >>= 1) x += shuffle_xor(x, mask);
    return x;
}
DEVICE float warp_max(float x) {
    for (int mask = 16; mask > 0; mask >>= 1) x = larger(x, shuffle_xor(x, mask));
    return x;
}
// Over all threads of a block of four warps, the same to the bit in each of them. `four` is shared
// memory for four values; the caller has it to itself until its next barrier.
DEVICE float block_sum(float x, float* four) {
    x = warp_sum(x);
    if ((THREAD & 31) == 0) four[THREAD >> 5] = x;
    barrier();
    x = (four[0] + four[1]) + (four[2] + four[3]);
    barrier();
    return x;
}
DEVICE float block_max(float x, float* four) {
    x = warp_max(x);
    if ((THREAD & 31) == 0) four[THREAD >> 5] = x;
    barrier();
    x = larger(larger(four[0], four[1]), larger(four[2], four[3]));
    barrier();
    return x;
}

// The part that `row` lies in: offsets[part] <= row < offsets[part + 1].
DEVICE u32 part_of(u32 row, const u32* offsets, u32 parts) {
    u32 low = 0, high = parts;
    while (high - low > 1) {
        u32 middle = (low + high) / 2;
        if (offsets[middle] <= row) low = middle; else high = middle;
    }
    return low;
}

// What was wrong with a number that came with a user's data.
enum { FAULT_TOKEN = 1, FAULT_ROW = 2, FAULT_COLUMN = 3, FAULT_CELL = 4 };
// An index that is not below `limit` is noted and becomes 0: nothing is read outside of a buffer.
DEVICE u32 checked(u32 index, u32 limit, u32 what, u32* fault) {
    if (index < limit) return index;
    *fault = what;
    return 0;
}

// What is added to a score by the distance of key and query.
enum { BIAS_NONE = 0, BIAS_BY_DISTANCE = 1, BIAS_ALIBI = 2 };
template <int BIAS> DEVICE float distance_bias(const float* bias, u32 head, int reach, int distance) {
    if (BIAS == BIAS_BY_DISTANCE) {
        int at = distance < -reach ? -reach : (distance > reach ? reach : distance);
        return bias[head * (2 * reach + 1) + at + reach];
    }
    if (BIAS == BIAS_ALIBI) return -bias[head] * (float)(distance < 0 ? -distance : distance);
    return 0.0f;
}
