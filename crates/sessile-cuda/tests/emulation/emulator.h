// A GPU on a CPU, as far as the kernels see it: one fiber a thread, rendezvous for what a warp or a
// block does together. It is made to find faults, not to be fast:
//   - shared memory starts as NaN in every block;
//   - a copy in the background arrives at the last moment, when its group is waited for, and its
//     place is NaN until then;
//   - warps run in a random order, one at times far ahead of the others;
//   - an access that is not aligned for its size stops the program;
//   - a warp whose threads do not all come to a shuffle, or a barrier that is not reached by all,
//     stops the program.
// What it does not see: PTX text, bank conflicts, races within a warp, speed. The lane layouts of
// ldmatrix and mma are those of the PTX ISA manual, sections "ldmatrix" and "mma.m16n8k16".
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>
#include <map>
#include <string>
#include <vector>

#define KERNEL(name, ...) static void name
#define ENTRY(name) static emulator::Registered registered_##name(#name, &name);
#define DEVICE inline
#define UNROLL
#define ROLLED
#define UNROLL_BY_4
#define THREAD ((u32)emulator::gpu.current)
#define THREADS ((u32)emulator::gpu.threads)
#define BLOCK ((u32)emulator::gpu.block[0])
#define BLOCK_Y ((u32)emulator::gpu.block[1])
#define BLOCKS ((u32)emulator::gpu.grid[0])
#define DYNAMIC_SHARED emulator::gpu.shared
// One place for every variable of a kernel, the same for all threads of a block.
#define SHARED(type, name, count)                                                                    \
    static const size_t name##_place = emulator::static_place(sizeof(type) * (count));               \
    type* name = (type*)(emulator::gpu.shared + emulator::DYNAMIC_LIMIT + emulator::GUARD + name##_place)

namespace emulator {
// What a block may take dynamically: the least of all supported GPUs (8.6, 8.9).
const size_t DYNAMIC_LIMIT = 99 << 10;
const size_t STATIC_LIMIT = 64 << 10;
// Bytes behind a block's share that are looked at.
const size_t GUARD = 1024;
const size_t STACK = 128 << 10;

inline void die(const char* what) {
    std::fprintf(stderr, "emulator: %s\n", what);
    std::abort();
}

// --- alignment: what the compiler calls where an address is no multiple of what it points to
// (`-fsanitize=alignment`)
extern "C" __attribute__((weak, visibility("hidden"))) void __ubsan_handle_type_mismatch_v1_abort(void*, void*) {
    die("an access that is not aligned");
}

// --- fibers
#if defined(__x86_64__)
struct Context { void* stack_pointer; };
// Of this file alone: every kernel is compiled by itself.
extern "C" void sessile_switch_fiber(void** save, void* load);
__asm__(R"(
.text
.type sessile_switch_fiber,@function
sessile_switch_fiber:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size sessile_switch_fiber,.-sessile_switch_fiber
)");
inline void make_fiber(Context& c, char* stack, void (*entry)()) {
    // As if `entry` had been called: the stack pointer is 8 below a multiple of 16 there.
    uintptr_t top = ((uintptr_t)stack + STACK) & ~(uintptr_t)15;
    void** at = (void**)(top - 16);
    *at = (void*)entry;
    at -= 6;
    std::memset(at, 0, 6 * sizeof(void*));
    c.stack_pointer = at;
}
inline void switch_fiber(Context& from, Context& to) { sessile_switch_fiber(&from.stack_pointer, to.stack_pointer); }
#else
#include <ucontext.h>
typedef ucontext_t Context;
inline void make_fiber(Context& c, char* stack, void (*entry)()) {
    getcontext(&c);
    c.uc_stack.ss_sp = stack;
    c.uc_stack.ss_size = STACK;
    c.uc_link = nullptr;
    makecontext(&c, entry, 0);
}
inline void switch_fiber(Context& from, Context& to) { swapcontext(&from, &to); }
#endif

struct Warp {
    int arrived = 0, finished = 0;
    unsigned generation = 0;
    // How many threads have come to the barrier of this generation.
    int at_barrier = 0;
    unsigned barrier_generation = 0;
    const void* place = nullptr;
    void* arguments[32];
};
struct Copy {
    void* to;
    const void* from;
    size_t bytes;
    bool valid;
    int group;
};
struct Gpu {
    int threads = 0, current = 0, finished = 0;
    int block[3], grid[3];
    int at_barrier = 0;
    unsigned barrier_generation = 0;
    Context main;
    std::vector<Context> contexts;
    std::vector<char*> stacks;
    std::vector<char> done;
    // What a thread waits for, and the generation that it waits to see the end of.
    std::vector<const unsigned*> waits_for;
    std::vector<unsigned> waits_until_not;
    std::vector<Warp> warps;
    std::vector<std::vector<Copy>> copies;
    std::vector<int> group;
    std::function<void()> body;
    size_t dynamic = 0;
    alignas(128) char shared_memory[DYNAMIC_LIMIT + STATIC_LIMIT + GUARD];
    u8* shared = (u8*)shared_memory;
};
inline Gpu gpu;
inline unsigned seed = 1;

inline size_t static_top = 0;
inline size_t static_place(size_t bytes) {
    size_t place = static_top;
    static_top += (bytes + 127) / 128 * 128;
    if (static_top > STATIC_LIMIT) die("too many shared variables");
    return place;
}
inline void pause_thread() { switch_fiber(gpu.contexts[gpu.current], gpu.main); }
inline void wait_for(const unsigned& generation, unsigned until_not) {
    int me = gpu.current;
    gpu.waits_for[me] = &generation;
    gpu.waits_until_not[me] = until_not;
    pause_thread();
}
inline bool is_asleep(const Warp& warp) {
    bool at_barrier = warp.barrier_generation == gpu.barrier_generation;
    return warp.finished + (at_barrier ? warp.at_barrier : 0) == 32;
}
inline bool is_waiting(int t) { return gpu.waits_for[t] && *gpu.waits_for[t] == gpu.waits_until_not[t]; }
inline void thread_main() {
    gpu.body();
    gpu.done[gpu.current] = 1;
    gpu.finished++;
    gpu.warps[gpu.current / 32].finished++;
    for (;;) pause_thread();
}
// Runs `together` over the arguments of all 32 threads when the last one has come.
template <class F> inline void meet(const void* place, void* argument, F together) {
    int me = gpu.current;
    Warp& warp = gpu.warps[me / 32];
    if (warp.arrived == 0) warp.place = place;
    if (warp.place != place) die("the threads of a warp meet in different places");
    warp.arguments[me % 32] = argument;
    unsigned generation = warp.generation;
    if (++warp.arrived == 32) {
        together(warp.arguments);
        warp.arrived = 0;
        warp.generation++;
    } else {
        wait_for(warp.generation, generation);
    }
}

inline void run_block(unsigned random) {
    int threads = gpu.threads, warps = threads / 32;
    gpu.done.assign(threads, 0);
    gpu.waits_for.assign(threads, nullptr);
    gpu.warps.assign(warps, Warp());
    gpu.at_barrier = 0;
    gpu.finished = 0;
    // NaN in any format; what lies beyond the block's share is never written.
    std::memset(gpu.shared, 0xff, gpu.dynamic + GUARD);
    std::memset(gpu.shared + DYNAMIC_LIMIT + GUARD, 0xff, static_top);
    for (auto& copies : gpu.copies) copies.clear();
    gpu.group.assign(threads, 0);
    for (int t = 0; t < threads; t++) make_fiber(gpu.contexts[t], gpu.stacks[t], thread_main);
    int idle_rounds = 0;
    while (gpu.finished < threads) {
        random = random * 1664525u + 1013904223u;
        int warp = (random >> 16) % warps, bursts = (random >> 28) == 0 ? 40 : 1;
        for (int tries = 1; tries < warps && is_asleep(gpu.warps[warp]); tries++) warp = (warp + 1) % warps;
        unsigned before_barrier = gpu.barrier_generation, before_warp = gpu.warps[warp].generation;
        int before_done = gpu.finished;
        for (int burst = 0; burst < bursts && !is_asleep(gpu.warps[warp]); burst++)
            for (int t = warp * 32; t < warp * 32 + 32; t++)
                if (!gpu.done[t] && !is_waiting(t)) {
                    gpu.waits_for[t] = nullptr;
                    gpu.current = t;
                    switch_fiber(gpu.main, gpu.contexts[t]);
                }
        bool moved = before_barrier != gpu.barrier_generation || before_done != gpu.finished ||
                     before_warp != gpu.warps[warp].generation;
        idle_rounds = moved ? 0 : idle_rounds + 1;
        if (idle_rounds > 1000 * warps) die("threads wait for others that do not come");
    }
    for (size_t i = gpu.dynamic; i < gpu.dynamic + GUARD; i++)
        if (gpu.shared[i] != 0xff) die("a write beyond the block's shared memory");
}

inline void launch(const int grid[3], int threads, size_t dynamic, std::function<void()> body) {
    if (threads % 32 || threads > 1024) die("a block is no whole number of warps");
    if (dynamic > DYNAMIC_LIMIT) die("too much shared memory");
    gpu.threads = threads;
    gpu.dynamic = dynamic;
    gpu.body = std::move(body);
    gpu.contexts.resize(threads);
    gpu.copies.resize(threads);
    gpu.waits_until_not.resize(threads);
    while ((int)gpu.stacks.size() < threads) gpu.stacks.push_back((char*)std::malloc(STACK));
    for (int i = 0; i < 3; i++) gpu.grid[i] = grid[i];
    for (int z = 0; z < grid[2]; z++)
        for (int y = 0; y < grid[1]; y++)
            for (int x = 0; x < grid[0]; x++) {
                gpu.block[0] = x;
                gpu.block[1] = y;
                gpu.block[2] = z;
                run_block(seed * 2654435761u + x * 97 + y * 31 + z + 1);
            }
}

// --- kernels by name, with arguments as the driver takes them: an array of pointers
struct Kernel {
    std::function<void(void**)> invoke;
    size_t arguments;
};
inline std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}
template <class... A, size_t... I>
inline void call(void (*f)(A...), void** p, std::index_sequence<I...>) {
    (void)p;
    f(*(A*)p[I]...);
}
struct Registered {
    template <class... A> Registered(const char* name, void (*f)(A...)) {
        kernels()[name] = Kernel{[f](void** p) { call(f, p, std::make_index_sequence<sizeof...(A)>()); }, sizeof...(A)};
    }
};
}  // namespace emulator

DEVICE void barrier() {
    using namespace emulator;
    Warp& warp = gpu.warps[gpu.current / 32];
    if (warp.arrived) die("a barrier within a shuffle");
    unsigned generation = gpu.barrier_generation;
    if (warp.barrier_generation != generation) warp.at_barrier = 0;
    warp.barrier_generation = generation;
    warp.at_barrier++;
    if (++gpu.at_barrier == gpu.threads) {
        gpu.at_barrier = 0;
        gpu.barrier_generation++;
    } else {
        wait_for(gpu.barrier_generation, generation);
    }
}
struct ShuffleArgument { float value; int mask; float result; };
DEVICE __attribute__((noinline)) float shuffle_xor(float value, int mask) {
    ShuffleArgument argument{value, mask, 0.0f};
    emulator::meet((void*)&shuffle_xor, &argument, [](void** all) {
        for (int l = 0; l < 32; l++) {
            ShuffleArgument* me = (ShuffleArgument*)all[l];
            me->result = ((ShuffleArgument*)all[l ^ me->mask])->value;
        }
    });
    return argument.result;
}
DEVICE __attribute__((noinline)) u32 of_warp(u32 value) {
    emulator::meet((void*)&of_warp, &value, [](void** all) {
        for (int l = 1; l < 32; l++)
            if (*(u32*)all[l] != *(u32*)all[0]) emulator::die("a warp's value that its threads do not share");
    });
    return value;
}
DEVICE void copy(void* to, const void* from, size_t bytes, bool valid) {
    using namespace emulator;
    if ((uintptr_t)to % bytes || (uintptr_t)from % bytes) die("a copy that is not aligned");
    std::memset(to, 0xff, bytes);
    gpu.copies[gpu.current].push_back(Copy{to, from, bytes, valid, gpu.group[gpu.current]});
}
DEVICE void copy16(void* to, const void* from, bool valid) { copy(to, from, 16, valid); }
DEVICE void copy16(void* to, const void* from) { copy(to, from, 16, true); }
DEVICE void copy4(void* to, const void* from) { copy(to, from, 4, true); }
DEVICE void copies_commit() { emulator::gpu.group[emulator::gpu.current]++; }
template <int PENDING> DEVICE void copies_wait() {
    using namespace emulator;
    auto& copies = gpu.copies[gpu.current];
    int limit = gpu.group[gpu.current] - PENDING;
    size_t kept = 0;
    for (Copy& copy : copies) {
        if (copy.group >= limit) {
            copies[kept++] = copy;
        } else if (copy.valid) {
            std::memcpy(copy.to, copy.from, copy.bytes);
        } else {
            std::memset(copy.to, 0, copy.bytes);
        }
    }
    copies.resize(kept);
}
struct LoadArgument { u32* registers; const u16* row; };
DEVICE __attribute__((noinline)) void load_matrices(u32* registers, const void* row) {
    if ((uintptr_t)row % 16) emulator::die("a row of a matrix that is not aligned");
    LoadArgument argument{registers, (const u16*)row};
    emulator::meet((void*)&load_matrices, &argument, [](void** all) {
        for (int l = 0; l < 32; l++)
            for (int m = 0; m < 4; m++) {
                const u16* from = ((LoadArgument*)all[m * 8 + l / 4])->row + 2 * (l % 4);
                ((LoadArgument*)all[l])->registers[m] = from[0] | (u32)from[1] << 16;
            }
    });
}
DEVICE __attribute__((noinline)) void load_matrices_transposed(u32* registers, const void* row) {
    if ((uintptr_t)row % 16) emulator::die("a row of a matrix that is not aligned");
    LoadArgument argument{registers, (const u16*)row};
    emulator::meet((void*)&load_matrices_transposed, &argument, [](void** all) {
        for (int l = 0; l < 32; l++)
            for (int m = 0; m < 4; m++) {
                u16 low = ((LoadArgument*)all[m * 8 + 2 * (l % 4)])->row[l / 4];
                u16 high = ((LoadArgument*)all[m * 8 + 2 * (l % 4) + 1])->row[l / 4];
                ((LoadArgument*)all[l])->registers[m] = low | (u32)high << 16;
            }
    });
}
DEVICE float exp2_fast(float x) { return std::exp2f(x); }
DEVICE float reciprocal_fast(float x) { return 1.0f / x; }
DEVICE float bits_float(u32 bits) {
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
}
struct MultiplyArgument { float* d; const u32* a; const u32* b; };
template <class T> DEVICE __attribute__((noinline)) void warp_multiply(float* d, const u32* a, const u32* b) {
    MultiplyArgument argument{d, a, b};
    emulator::meet((void*)&warp_multiply<T>, &argument, [](void** all) {
        float left[16][16], right[8][16];
        for (int l = 0; l < 32; l++) {
            MultiplyArgument* it = (MultiplyArgument*)all[l];
            int group = l / 4, in_group = l % 4;
            for (int e = 0; e < 2; e++) {
                for (int i = 0; i < 4; i++)
                    left[group + (i & 1) * 8][2 * in_group + e + (i >> 1) * 8] = T::up((u16)(it->a[i] >> (16 * e)));
                for (int i = 0; i < 2; i++) right[group][2 * in_group + e + 8 * i] = T::up((u16)(it->b[i] >> (16 * e)));
            }
        }
        for (int l = 0; l < 32; l++) {
            MultiplyArgument* it = (MultiplyArgument*)all[l];
            for (int i = 0; i < 4; i++) {
                const float* x = left[l / 4 + (i >> 1) * 8];
                const float* y = right[2 * (l % 4) + (i & 1)];
                float sum = 0.0f;
                for (int k = 0; k < 16; k++) sum += x[k] * y[k];
                it->d[i] += sum;
            }
        }
    });
}
struct Bf16 {
    typedef u16 Store;
    static float up(u16 x) { return bits_float((u32)x << 16); }
    static u16 down(float x) {
        u32 bits;
        std::memcpy(&bits, &x, 4);
        if ((bits & 0x7fffffff) > 0x7f800000) return (u16)((bits >> 16) | 0x40);
        return (u16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    }
    static u32 pack(float low, float high) { return (u32)down(low) | (u32)down(high) << 16; }
    static void multiply(float* d, const u32* a, const u32* b) { warp_multiply<Bf16>(d, a, b); }
};
struct F16 {
    typedef u16 Store;
    static float up(u16 x) {
        _Float16 half;
        std::memcpy(&half, &x, 2);
        return (float)half;
    }
    static u16 down(float x) {
        _Float16 half = (_Float16)x;
        u16 bits;
        std::memcpy(&bits, &half, 2);
        return bits;
    }
    static u32 pack(float low, float high) { return (u32)down(low) | (u32)down(high) << 16; }
    static void multiply(float* d, const u32* a, const u32* b) { warp_multiply<F16>(d, a, b); }
};
