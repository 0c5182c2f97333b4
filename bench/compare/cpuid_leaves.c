/* Lets oneDNN (inside PyTorch) find AMX on virtual machines that hide CPUID leaves 0x1D and 0x1E.
 *
 * Such a machine runs AMX instructions, but oneDNN reads the tile palette from leaf 0x1D, finds zeros,
 * and configures tiles that fault. Linux can make CPUID raise SIGSEGV (arch_prctl ARCH_SET_CPUID, see
 * arch_prctl(2)); the handler below answers the two leaves with the values of the Intel SDM, volume 1,
 * section 18.1 (palette 1: 8 tiles of 16 rows and 64 bytes), and every other leaf by the real
 * instruction. For the comparison only:
 *
 *     cc -O2 -shared -fPIC -o target/cpuid_leaves.so bench/compare/cpuid_leaves.c
 *     LD_PRELOAD=target/cpuid_leaves.so python ...
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_SET_CPUID_FAULTING = 0x1012, LEAF_TILE = 0x1D, LEAF_TMUL = 0x1E };

static void allow_cpuid(long allowed) { syscall(SYS_arch_prctl, ARCH_SET_CPUID_FAULTING, allowed); }

struct answer {
    unsigned a, b, c, d;
};

static struct answer ask(unsigned leaf, unsigned sub) {
    struct answer real = {0, 0, 0, 0};
    if (leaf == LEAF_TILE && sub == 0) {
        real.a = 1; /* the highest palette */
    } else if (leaf == LEAF_TILE && sub == 1) {
        real.a = 8192u | (1024u << 16); /* bytes in all, bytes of a tile */
        real.b = 64u | (8u << 16);      /* bytes of a row, number of tiles */
        real.c = 16u;                   /* rows */
    } else if (leaf == LEAF_TMUL) {
        real.b = sub == 0 ? (16u | (64u << 8)) : 0; /* K, N of a tile product */
    } else if (leaf != LEAF_TILE) {
        allow_cpuid(1);
        __cpuid_count(leaf, sub, real.a, real.b, real.c, real.d);
        allow_cpuid(0);
        if (leaf == 0 && real.a < LEAF_TMUL)
            real.a = LEAF_TMUL;
    }
    return real;
}

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)registers[REG_RIP];
    (void)info;
    if (code[0] != 0x0F || code[1] != 0xA2) { /* not CPUID: a true fault */
        signal(signal_number, SIG_DFL);
        return;
    }
    struct answer answer = ask((unsigned)registers[REG_RAX], (unsigned)registers[REG_RCX]);
    registers[REG_RAX] = answer.a;
    registers[REG_RBX] = answer.b;
    registers[REG_RCX] = answer.c;
    registers[REG_RDX] = answer.d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void start(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, NULL);
    allow_cpuid(0);
}
