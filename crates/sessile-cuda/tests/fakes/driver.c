/* A driver that answers questions and computes nothing. What it answers is said by macros:
 *   INIT        what cuInit returns
 *   VERSION     what cuDriverGetVersion says
 *   COUNT       number of GPUs
 *   MAJORS, MINORS, MODES, BUSES, FAILS   one value per GPU, as initialisers of arrays
 *   LACKS_LAUNCH   leaves cuLaunchKernel out, LACKS_INIT leaves cuInit out
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#ifndef INIT
#define INIT 0
#endif
#ifndef VERSION
#define VERSION 12040
#endif
#ifndef COUNT
#define COUNT 1
#endif
#ifndef MAJORS
#define MAJORS 9, 8, 8, 7
#endif
#ifndef MINORS
#define MINORS 0, 0, 6, 5
#endif
#ifndef MODES
#define MODES 0, 0, 0, 0
#endif
#ifndef BUSES
#define BUSES 1, 2, 3, 4
#endif
#ifndef FAILS
#define FAILS 0, 0, 0, 0
#endif
static const int majors[] = {MAJORS}, minors[] = {MINORS}, modes[] = {MODES}, buses[] = {BUSES},
                 fails[] = {FAILS};
typedef int R;
#ifndef LACKS_INIT
R cuInit(unsigned f) { return f ? 1 : INIT; }
#endif
R cuDriverGetVersion(int *v) { *v = VERSION; return 0; }
R cuDeviceGetCount(int *n) { *n = COUNT; return 0; }
R cuDeviceGet(int *d, int i) { *d = 10 + i; return i < 0 || i >= COUNT ? 101 : 0; }
R cuDeviceGetName(char *s, int n, int d) { snprintf(s, n, "Fake GPU %d", d - 10); return fails[d - 10]; }
R cuDeviceGetAttribute(int *v, int a, int d) {
    d -= 10;
    switch (a) {
    case 16: *v = 108; return 0;
    case 20: *v = modes[d]; return 0;
    case 75: *v = majors[d]; return 0;
    case 76: *v = minors[d]; return 0;
    case 97: *v = 166912; return 0;
    }
    return 1;
}
R cuDeviceTotalMem_v2(size_t *n, int d) { *n = (size_t)(d - 9) << 34; return 0; }
R cuDeviceGetPCIBusId(char *s, int n, int d) { snprintf(s, n, "0000:%02x:00.0", buses[d - 10]); return 0; }
#define NONE(name) R name(void) { return 999; }
NONE(cuDevicePrimaryCtxRetain) NONE(cuCtxSetCurrent) NONE(cuMemGetInfo_v2) NONE(cuMemAlloc_v2)
NONE(cuMemFree_v2) NONE(cuMemHostAlloc) NONE(cuMemFreeHost) NONE(cuMemcpyHtoDAsync_v2)
NONE(cuMemcpyDtoHAsync_v2) NONE(cuStreamCreate) NONE(cuStreamDestroy_v2)
NONE(cuStreamSynchronize) NONE(cuEventCreate) NONE(cuEventDestroy_v2) NONE(cuEventRecord)
NONE(cuEventSynchronize) NONE(cuModuleLoadData) NONE(cuModuleGetFunction) NONE(cuFuncSetAttribute)
NONE(cuMemsetD32Async) NONE(cuStreamBeginCapture_v2) NONE(cuStreamEndCapture)
NONE(cuGraphInstantiateWithFlags) NONE(cuGraphUpload) NONE(cuGraphLaunch) NONE(cuGraphDestroy) NONE(cuGraphExecDestroy)
#ifndef LACKS_LAUNCH
NONE(cuLaunchKernel)
#endif
