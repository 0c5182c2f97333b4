// A CUDA driver, and a cuBLASLt, whose GPUs are the emulator: device memory is host memory, kernels
// are the compiled sources, and a stream does nothing before somebody waits for it. So a buffer that
// is used again too early, a result that is read before it is there, a kernel with wrong arguments
// or a write behind a block of memory all show.
//
// FAKE_GPUS is their number (2), FAKE_GPU_MEMORY their bytes (8 GiB), FAKE_GPU_CAPABILITY their
// compute capability (90), FAKE_GPU_FAILS_AFTER=N the number of launches after which the last GPU
// is lost (error 700). `fake_…` functions do the same from a test.
#include "prelude.cuh"

#include <deque>
#include <mutex>
#include <set>
#include <utility>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {
typedef int Result;
typedef unsigned long long Address;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_BINARY = 209, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700 };

const size_t REDZONE = 512;

struct Block {
    size_t len;
    int device;
};
struct Stream;
struct Device {
    size_t memory = 0, used = 0;
    int error = 0;
    long fails_after = -1, fail_code = ILLEGAL_ADDRESS;
    // What cuBLASLt answers when it starts, and to the next product.
    int start_status = 0, product_status = 0;
    long launches = 0, products = 0, graphs_started = 0, graphs_alive = 0;
    // 1: no stream is recorded; 2: recording fails at its end; 3: graphs do not start.
    int graph_fault = 0;
    unsigned long long copied_in = 0;
    std::set<Stream*> streams;
};
typedef std::vector<std::function<void()>> Graph;
struct Stream {
    Device* device;
    std::deque<std::function<void()>> work;
    unsigned long long queued = 0, done = 0;
    // What is recorded, in place of being queued.
    Graph* recording = nullptr;
};
struct Event {
    Stream* stream = nullptr;
    unsigned long long at = 0;
};
struct Function {
    const emulator::Kernel* kernel;
    size_t dynamic_limit;
};

std::recursive_mutex everything;
std::vector<Device>* devices = nullptr;
std::map<Address, Block> blocks;
int capability = 90;
thread_local Device* current = nullptr;

typedef std::lock_guard<std::recursive_mutex> Lock;

long number(const char* name, long otherwise) {
    const char* text = std::getenv(name);
    return text ? std::atol(text) : otherwise;
}

void start() {
    if (devices) return;
    devices = new std::vector<Device>(number("FAKE_GPUS", 2));
    for (Device& device : *devices) device.memory = number("FAKE_GPU_MEMORY", 8L << 30);
    if (!devices->empty()) devices->back().fails_after = number("FAKE_GPU_FAILS_AFTER", -1);
    capability = number("FAKE_GPU_CAPABILITY", 90);
}

void run_one(Stream* stream) {
    std::function<void()> work = std::move(stream->work.front());
    stream->work.pop_front();
    stream->done++;
    if (!stream->device->error) work();
}
void run_until(Stream* stream, unsigned long long at) {
    while (stream->done < at) run_one(stream);
}
void enqueue(Stream* stream, std::function<void()> work) {
    if (stream->recording) {
        stream->recording->push_back(std::move(work));
        return;
    }
    stream->work.push_back(std::move(work));
    stream->queued++;
}
// Counts a launch and loses the GPU when it is time.
bool fails(Device* device) {
    device->launches++;
    if (device->fails_after >= 0 && device->launches > device->fails_after) device->error = device->fail_code;
    return device->error;
}
void check_redzone(Address start, const Block& block) {
    const u8* behind = (const u8*)start + block.len;
    for (size_t i = 0; i < REDZONE; i++)
        if (behind[i] != 0xab) emulator::die("a write behind a block of device memory");
}
// Whether `len` bytes from `at` on lie in one block of `device`.
bool inside(Address at, size_t len, Device* device) {
    auto found = blocks.upper_bound(at);
    if (found == blocks.begin()) return false;
    --found;
    return at + len <= found->first + found->second.len && &(*devices)[found->second.device] == device;
}
}  // namespace

// While this thread records a stream, nothing may wait, take or give back memory, or copy from memory
// that the next start of the graph would find changed (CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED).
thread_local bool records = false;

#define NOT_RECORDED \
    if (records) return 900;
#define ENTER                             \
    Lock lock(everything);                \
    if (!devices) return 3;
#define ENTER_CONTEXT                     \
    ENTER                                 \
    if (!current) return 201;             \
    if (current->error) return current->error;

EXPORT Result cuInit(unsigned) {
    Lock lock(everything);
    start();
    return devices->empty() ? 100 : SUCCESS;
}
EXPORT Result cuDriverGetVersion(int* version) {
    *version = 12040;
    return SUCCESS;
}
EXPORT Result cuDeviceGetCount(int* count) {
    ENTER
    *count = (int)devices->size();
    return SUCCESS;
}
EXPORT Result cuDeviceGet(int* device, int ordinal) {
    ENTER
    if (ordinal < 0 || ordinal >= (int)devices->size()) return 101;
    *device = ordinal;
    return SUCCESS;
}
EXPORT Result cuDeviceGetName(char* name, int len, int) {
    std::snprintf(name, len, "Emulated GPU");
    return SUCCESS;
}
EXPORT Result cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 16: *value = 2; return SUCCESS;
        case 20: *value = 0; return SUCCESS;
        case 75: *value = capability / 10; return SUCCESS;
        case 76: *value = capability % 10; return SUCCESS;
        case 97: *value = (int)emulator::DYNAMIC_LIMIT; return SUCCESS;
    }
    return INVALID_VALUE;
}
EXPORT Result cuDeviceTotalMem_v2(size_t* bytes, int device) {
    ENTER
    *bytes = (*devices)[device].memory;
    return SUCCESS;
}
EXPORT Result cuDeviceGetPCIBusId(char* text, int len, int device) {
    std::snprintf(text, len, "0000:%02x:00.0", device + 1);
    return SUCCESS;
}
EXPORT Result cuDevicePrimaryCtxRetain(void** context, int device) {
    ENTER
    *context = &(*devices)[device];
    return (*devices)[device].error;
}
EXPORT Result cuCtxSetCurrent(void* context) {
    ENTER
    current = (Device*)context;
    return SUCCESS;
}
EXPORT Result cuMemGetInfo_v2(size_t* free, size_t* total) {
    ENTER_CONTEXT
    *free = current->memory - current->used;
    *total = current->memory;
    return SUCCESS;
}
EXPORT Result cuMemAlloc_v2(Address* address, size_t len) {
    ENTER_CONTEXT
    NOT_RECORDED
    if (len == 0) return INVALID_VALUE;
    if (len > current->memory - current->used) return OUT_OF_MEMORY;
    u8* start = (u8*)std::aligned_alloc(512, (len + REDZONE + 511) / 512 * 512);
    if (!start) return OUT_OF_MEMORY;
    std::memset(start, 0xff, len);
    std::memset(start + len, 0xab, REDZONE);
    current->used += len;
    blocks[(Address)start] = Block{len, (int)(current - devices->data())};
    *address = (Address)start;
    return SUCCESS;
}
EXPORT Result cuMemFree_v2(Address address) {
    ENTER_CONTEXT
    NOT_RECORDED
    auto found = blocks.find(address);
    if (found == blocks.end()) return INVALID_VALUE;
    Device* device = &(*devices)[found->second.device];
    // It waits for everything that may use the block.
    for (Stream* stream : device->streams) run_until(stream, stream->queued);
    check_redzone(address, found->second);
    device->used -= found->second.len;
    std::memset((void*)address, 0xff, found->second.len);
    std::free((void*)address);
    blocks.erase(found);
    return SUCCESS;
}
EXPORT Result cuMemHostAlloc(void** pointer, size_t len, unsigned) {
    ENTER_CONTEXT
    NOT_RECORDED
    *pointer = std::aligned_alloc(4096, (len + 4095) / 4096 * 4096);
    std::memset(*pointer, 0xff, len);
    return SUCCESS;
}
EXPORT Result cuMemFreeHost(void* pointer) {
    ENTER_CONTEXT
    NOT_RECORDED
    for (Stream* stream : current->streams) run_until(stream, stream->queued);
    std::free(pointer);
    return SUCCESS;
}
EXPORT Result cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t len, Stream* stream) {
    ENTER_CONTEXT
    NOT_RECORDED
    if (!inside(to, len, current)) return INVALID_VALUE;
    current->copied_in += len;
    enqueue(stream, [=] { std::memcpy((void*)to, from, len); });
    return SUCCESS;
}
EXPORT Result cuMemcpyDtoHAsync_v2(void* to, Address from, size_t len, Stream* stream) {
    ENTER_CONTEXT
    NOT_RECORDED
    if (!inside(from, len, current)) return INVALID_VALUE;
    enqueue(stream, [=] { std::memcpy(to, (void*)from, len); });
    return SUCCESS;
}
EXPORT Result cuStreamCreate(Stream** stream, unsigned) {
    ENTER_CONTEXT
    *stream = new Stream{current, {}, 0, 0};
    current->streams.insert(*stream);
    return SUCCESS;
}
EXPORT Result cuStreamDestroy_v2(Stream* stream) {
    ENTER_CONTEXT
    NOT_RECORDED
    run_until(stream, stream->queued);
    stream->device->streams.erase(stream);
    delete stream;
    return SUCCESS;
}
EXPORT Result cuStreamSynchronize(Stream* stream) {
    ENTER_CONTEXT
    NOT_RECORDED
    run_until(stream, stream->queued);
    return stream->device->error;
}
EXPORT Result cuEventCreate(Event** event, unsigned) {
    ENTER_CONTEXT
    *event = new Event;
    return SUCCESS;
}
EXPORT Result cuEventDestroy_v2(Event* event) {
    ENTER_CONTEXT
    delete event;
    return SUCCESS;
}
EXPORT Result cuEventRecord(Event* event, Stream* stream) {
    ENTER_CONTEXT
    NOT_RECORDED
    event->stream = stream;
    event->at = stream->queued;
    return SUCCESS;
}
EXPORT Result cuEventSynchronize(Event* event) {
    ENTER_CONTEXT
    NOT_RECORDED
    if (event->stream) run_until(event->stream, event->at);
    return current->error;
}
EXPORT Result cuModuleLoadData(void** module, const void* image) {
    ENTER_CONTEXT
    NOT_RECORDED
    const u8* bytes = (const u8*)image;
    if (!std::memcmp(bytes, "\x7f" "ELF", 4)) {
        // The low byte of the ELF header's flags is the capability of a cubin.
        u32 flags;
        std::memcpy(&flags, bytes + 48, 4);
        int built_for = flags & 0xff;
        if (built_for / 10 != capability / 10 || built_for % 10 > capability % 10) return NO_BINARY;
    } else if (std::memcmp(bytes, "//", 2)) {
        return 200;
    }
    *module = (void*)"module";
    return SUCCESS;
}
EXPORT Result cuModuleGetFunction(Function** function, void*, const char* name) {
    ENTER_CONTEXT
    auto found = emulator::kernels().find(name);
    if (found == emulator::kernels().end()) return NOT_FOUND;
    *function = new Function{&found->second, 48 << 10};
    return SUCCESS;
}
EXPORT Result cuFuncSetAttribute(Function* function, int attribute, int value) {
    ENTER_CONTEXT
    if (attribute != 8 || value < 0 || (size_t)value > emulator::DYNAMIC_LIMIT) return INVALID_VALUE;
    function->dynamic_limit = value;
    return SUCCESS;
}
EXPORT Result cuLaunchKernel(Function* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned ty,
                             unsigned tz, unsigned dynamic, Stream* stream, void** arguments, void** extra) {
    ENTER_CONTEXT
    if (!x || !y || z != 1 || ty != 1 || tz != 1 || extra || y > 65535 || threads % 32) return INVALID_VALUE;
    if (dynamic > function->dynamic_limit) return INVALID_VALUE;
    std::vector<unsigned long long> values(function->kernel->arguments);
    for (size_t i = 0; i < values.size(); i++) {
        if (!arguments[i]) return INVALID_VALUE;
        std::memcpy(&values[i], arguments[i], 8);
    }
    Device* device = current;
    enqueue(stream, [=]() mutable {
        if (fails(device)) return;
        std::vector<void*> pointers;
        for (auto& value : values) pointers.push_back(&value);
        int grid[3] = {(int)x, (int)y, 1};
        emulator::seed++;
        emulator::launch(grid, (int)threads, dynamic, [&] { function->kernel->invoke(pointers.data()); });
    });
    return SUCCESS;
}

EXPORT Result cuStreamBeginCapture_v2(Stream* stream, int mode) {
    ENTER_CONTEXT
    if (mode != 1 || stream->recording) return INVALID_VALUE;
    if (current->graph_fault == 1) return 801;
    stream->recording = new Graph;
    records = true;
    return SUCCESS;
}
EXPORT Result cuStreamEndCapture(Stream* stream, Graph** graph) {
    ENTER_CONTEXT
    if (!stream->recording) return INVALID_VALUE;
    *graph = stream->recording;
    stream->recording = nullptr;
    records = false;
    if (current->graph_fault == 2) {
        delete *graph;
        *graph = nullptr;
        return 901;
    }
    return SUCCESS;
}
EXPORT Result cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long flags) {
    ENTER_CONTEXT
    if (flags) return INVALID_VALUE;
    *executable = new Graph(*graph);
    current->graphs_alive++;
    return SUCCESS;
}
EXPORT Result cuGraphUpload(Graph*, Stream*) {
    ENTER_CONTEXT
    return SUCCESS;
}
EXPORT Result cuGraphLaunch(Graph* executable, Stream* stream) {
    ENTER_CONTEXT
    if (current->graph_fault == 3) return OUT_OF_MEMORY;
    current->graphs_started++;
    for (auto& work : *executable) enqueue(stream, work);
    return SUCCESS;
}
EXPORT Result cuGraphDestroy(Graph* graph) {
    ENTER_CONTEXT
    delete graph;
    return SUCCESS;
}
EXPORT Result cuGraphExecDestroy(Graph* graph) {
    ENTER_CONTEXT
    current->graphs_alive--;
    delete graph;
    return SUCCESS;
}

// --- cuBLASLt
namespace {
struct Layout {
    int type;
    unsigned long long rows, cols;
    long long stride;
};
struct Description {
    int transpose_a = 0, epilogue = 1;
    Address bias = 0;
};
struct Preference {
    size_t workspace = 0;
    u32 reductions = 7, alignment = 256;
};
struct Algorithm {
    unsigned long long id, split_k, reduction, rest[5];
};
struct Candidate {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};
enum { SPLIT = 1, NEEDS_WORKSPACE = 2, MANY_ROWS = 3, GOOD = 7 };

size_t size_of(int type) { return type == 0 ? 4 : 2; }
float get(int type, Address base, size_t at) {
    if (type == 0) return ((float*)base)[at];
    u16 bits = ((u16*)base)[at];
    return type == 14 ? Bf16::up(bits) : F16::up(bits);
}
void set(int type, Address base, size_t at, float value) {
    if (type == 0) ((float*)base)[at] = value;
    else ((u16*)base)[at] = type == 14 ? Bf16::down(value) : F16::down(value);
}
bool fit(const Description* d, const Layout* a, const Layout* b, const Layout* c) {
    return d->transpose_a == 1 && a->rows == b->rows && a->cols == c->rows && b->cols == c->cols && a->type == b->type &&
           a->stride >= (long long)a->rows && b->stride >= (long long)b->rows && c->stride >= (long long)c->rows;
}
}  // namespace

EXPORT size_t cublasLtGetVersion() { return 120405; }
EXPORT int cublasLtCreate(void** handle) {
    if (!current) return 1;
    *handle = current;
    return current->start_status;
}
EXPORT int cublasLtMatmulDescCreate(Description** d, int compute, int scale) {
    if (compute != 68 || scale != 0) return 7;
    *d = new Description;
    return 0;
}
EXPORT int cublasLtMatmulDescDestroy(Description* d) {
    delete d;
    return 0;
}
EXPORT int cublasLtMatmulDescSetAttribute(Description* d, int attribute, const void* value, size_t size) {
    void* to = attribute == 3 ? (void*)&d->transpose_a : attribute == 7 ? (void*)&d->epilogue
             : attribute == 8 ? (void*)&d->bias : nullptr;
    if (!to || size != (attribute == 8 ? 8 : 4)) return 7;
    std::memcpy(to, value, size);
    return 0;
}
EXPORT int cublasLtMatrixLayoutCreate(Layout** l, int type, unsigned long long rows, unsigned long long cols,
                                      long long stride) {
    *l = new Layout{type, rows, cols, stride};
    return 0;
}
EXPORT int cublasLtMatrixLayoutDestroy(Layout* l) {
    delete l;
    return 0;
}
EXPORT int cublasLtMatrixLayoutSetAttribute(Layout* l, int attribute, const void* value, size_t size) {
    if (attribute != 3 || size != 8) return 7;
    std::memcpy(&l->cols, value, 8);
    return 0;
}
EXPORT int cublasLtMatmulPreferenceCreate(Preference** p) {
    *p = new Preference;
    return 0;
}
EXPORT int cublasLtMatmulPreferenceDestroy(Preference* p) {
    delete p;
    return 0;
}
EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference* p, int attribute, const void* value, size_t size) {
    u32 word = 0;
    if (attribute == 1 && size == sizeof(size_t)) {
        std::memcpy(&p->workspace, value, size);
        return 0;
    }
    if (size != 4) return 7;
    std::memcpy(&word, value, 4);
    if (attribute == 3) p->reductions = word;
    else if (attribute >= 5 && attribute <= 8) p->alignment = word < p->alignment ? word : p->alignment;
    else return 7;
    return 0;
}
EXPORT int cublasLtMatmulAlgoGetHeuristic(void*, Description* d, Layout* a, Layout* b, Layout* c, Layout* out,
                                          Preference* p, int wanted, Candidate* results, int* count) {
    *count = 0;
    if (!fit(d, a, b, out) || c != out || ((d->epilogue & 4) && !d->bias)) return 7;
    // As the library: nothing for what lies on odd addresses.
    if (p->alignment < 4) return 15;
    // Liars first: what must not be taken is offered all the same.
    for (int id : {SPLIT, NEEDS_WORKSPACE, MANY_ROWS, GOOD}) {
        if (*count == wanted) break;
        Candidate result = {};
        result.algorithm.id = id;
        result.algorithm.split_k = id == SPLIT ? 4 : 1;
        result.algorithm.reduction = id == SPLIT ? 2 : 0;
        result.workspace = id == NEEDS_WORKSPACE ? 4096 : 0;
        results[(*count)++] = result;
    }
    return 0;
}
EXPORT int cublasLtMatmulAlgoCheck(void*, Description* d, Layout* a, Layout* b, Layout*, Layout* out,
                                   const Algorithm* algorithm, Candidate* result) {
    if (!fit(d, a, b, out)) return 7;
    *result = Candidate{};
    result->algorithm = *algorithm;
    return algorithm->id == MANY_ROWS && out->cols < 16 ? 15 : 0;
}
EXPORT int cublasLtMatmulAlgoConfigGetAttribute(const Algorithm* algorithm, int attribute, void* value, size_t size,
                                                size_t* written) {
    if (size != 4) return 7;
    u32 word = attribute == 2 ? (u32)algorithm->split_k : attribute == 3 ? (u32)algorithm->reduction : 0;
    std::memcpy(value, &word, 4);
    *written = 4;
    return 0;
}
EXPORT int cublasLtMatmul(void* handle, Description* d, const float* alpha, Address a, Layout* la, Address b, Layout* lb,
                          const float* beta, Address c, Layout*, Address out, Layout* lout, const Algorithm* algorithm,
                          Address, size_t workspace, Stream* stream) {
    Lock lock(everything);
    if (!current || handle != current || !stream || current->error) return 14;
    if (int status = std::exchange(current->product_status, 0)) return status;
    // Larger matrices are where real algorithms change or fail.
    if (lout->cols > 65536) return 13;
    if (!fit(d, la, lb, lout) || algorithm->id != GOOD || workspace || c != out || *alpha != 1.0f) return 7;
    Description description = *d;
    Layout left = *la, right = *lb, result = *lout;
    float keep = *beta;
    Device* device = current;
    if (!inside(a, ((left.cols - 1) * left.stride + left.rows) * size_of(left.type), device) ||
        !inside(b, ((right.cols - 1) * right.stride + right.rows) * size_of(right.type), device) ||
        !inside(out, ((result.cols - 1) * result.stride + result.rows) * size_of(result.type), device))
        return 7;
    if ((description.epilogue & 4) && !description.bias) return 7;
    device->products++;
    enqueue(stream, [=] {
        if (fails(device)) return;
        for (size_t col = 0; col < result.cols; col++)
            for (size_t row = 0; row < result.rows; row++) {
                float sum = 0.0f;
                for (size_t k = 0; k < left.rows; k++)
                    sum += get(left.type, a, row * left.stride + k) * get(right.type, b, col * right.stride + k);
                size_t at = col * result.stride + row;
                if (keep != 0.0f) sum += keep * get(result.type, out, at);
                if ((description.epilogue & 4)) sum += get(result.type, description.bias, row);
                if ((description.epilogue & 2) && !(sum > 0.0f)) sum = 0.0f;
                set(result.type, out, at, sum);
            }
    });
    return 0;
}

// --- for tests
EXPORT void fake_fail(int device, long after_launches, int code) {
    Lock lock(everything);
    Device& it = (*devices)[device];
    it.fails_after = it.launches + after_launches;
    it.fail_code = code;
}
EXPORT void fake_limit(int device, size_t bytes) {
    Lock lock(everything);
    (*devices)[device].memory = bytes;
}
EXPORT void fake_graph_fault(int device, int fault) {
    Lock lock(everything);
    (*devices)[device].graph_fault = fault;
}
EXPORT void fake_library(int device, int start_status, int product_status) {
    Lock lock(everything);
    (*devices)[device].start_status = start_status;
    (*devices)[device].product_status = product_status;
}
EXPORT size_t fake_used(int device) {
    Lock lock(everything);
    return (*devices)[device].used;
}
EXPORT unsigned long long fake_count(int device, int what) {
    Lock lock(everything);
    const Device& it = (*devices)[device];
    return what == 0 ? it.launches : what == 1 ? it.products : what == 2 ? it.copied_in
         : what == 3 ? it.graphs_started : it.graphs_alive;
}
EXPORT void fake_check_memory() {
    Lock lock(everything);
    for (auto& block : blocks) check_redzone(block.first, block.second);
}
