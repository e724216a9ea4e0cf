/* inject-call TID NUMBER [ARGUMENT...]: has a thread of another process make one system call, and
 * prints what came back: a number, -errno when it failed; "ended" when the process did.
 *
 * It is what somebody does who can make a thread run his code, and filters, which look at the
 * thread, see no difference.  A signal that answers the call is delivered, and its handler is
 * waited for.  An argument is a number, or @TEXT, which is put on the thread's stack. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __x86_64__

#define RED_ZONE_BYTES 256
#define TEXT_BYTES 512
#define INSTRUCTION_BYTES 2

static pid_t thread;

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static void wait_for_stop(int *status)
{
    if (waitpid(thread, status, __WALL) < 0)
        die("waitpid");
    if (!WIFSTOPPED(*status)) { /* it, or another thread of it */
        puts("ended");
        exit(0);
    }
}

/* Where the kernel's own page for system calls has the instruction: it is in every process. */
static uint64_t find_instruction(void)
{
    static uint8_t page[1 << 16];
    char name[64], line[256];

    snprintf(name, sizeof name, "/proc/%d/maps", thread);
    FILE *maps = fopen(name, "r");
    uint64_t start = 0, end = 0;
    bool found = false;
    while (maps != NULL && !found && fgets(line, sizeof line, maps) != NULL)
        found = strstr(line, "[vdso]") != NULL && sscanf(line, "%lx-%lx", &start, &end) == 2;
    if (maps != NULL)
        fclose(maps);
    if (!found || end - start > sizeof page)
        die("no vdso");
    struct iovec here = { page, end - start }, there = { (void *)(uintptr_t)start, end - start };
    if (process_vm_readv(thread, &here, 1, &there, 1, 0) < 0)
        die("process_vm_readv");
    for (uint64_t i = 0; i + 1 < end - start; i++)
        if (page[i] == 0x0f && page[i + 1] == 0x05)
            return start + i;
    die("no instruction");
    return 0;
}

static uint64_t put_text(struct user_regs_struct *registers, const char *text)
{
    uint64_t at = (registers->rsp - RED_ZONE_BYTES - TEXT_BYTES) & ~UINT64_C(15);
    struct iovec here = { (void *)(uintptr_t)text, strlen(text) + 1 };
    struct iovec there = { (void *)(uintptr_t)at, here.iov_len };

    if (process_vm_writev(thread, &here, 1, &there, 1, 0) < 0)
        die("process_vm_writev");
    registers->rsp = at - RED_ZONE_BYTES;
    return at;
}

static void set_arguments(struct user_regs_struct *registers, int count, char **texts)
{
    unsigned long long *const places[] = { &registers->rdi, &registers->rsi, &registers->rdx,
                                           &registers->r10, &registers->r8,  &registers->r9 };

    for (int i = 0; i < 6; i++)
        *places[i] = i >= count         ? 0
                     : *texts[i] == '@' ? put_text(registers, texts[i] + 1)
                                        : strtoull(texts[i], NULL, 0);
}

static void set_breakpoint(uint64_t at, bool on)
{
    if (ptrace(PTRACE_POKEUSER, thread, offsetof(struct user, u_debugreg[0]), at) < 0 ||
        ptrace(PTRACE_POKEUSER, thread, offsetof(struct user, u_debugreg[7]), on ? 1 : 0) < 0)
        die("breakpoint");
}

/* To the instruction behind the call; signals go where they belong. */
static void run_to_breakpoint(void)
{
    int status, signal = 0;

    do {
        if (ptrace(PTRACE_CONT, thread, NULL, (void *)(intptr_t)signal) < 0)
            die("continue");
        wait_for_stop(&status);
        signal = status >> 16 != 0 ? 0 : WSTOPSIG(status);
    } while (signal != SIGTRAP);
}

int main(int argc, char **argv)
{
    struct user_regs_struct before, now;
    int status;

    if (argc < 3)
        return 2;
    thread = (pid_t)strtol(argv[1], NULL, 10);
    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) < 0 ||
        ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) < 0)
        die("ptrace");
    wait_for_stop(&status);
    if (ptrace(PTRACE_GETREGS, thread, NULL, &before) < 0)
        die("registers");
    now = before;
    now.rip = find_instruction();
    set_arguments(&now, argc - 3, argv + 3);
    now.rax = strtoull(argv[2], NULL, 0);
    now.orig_rax = ~0ull; /* it does not go on with the call that it waits in */
    set_breakpoint(now.rip + INSTRUCTION_BYTES, true);
    if (ptrace(PTRACE_SETREGS, thread, NULL, &now) < 0)
        die("registers");
    run_to_breakpoint();
    set_breakpoint(0, false);
    if (ptrace(PTRACE_GETREGS, thread, NULL, &now) < 0 ||
        ptrace(PTRACE_SETREGS, thread, NULL, &before) < 0)
        die("registers");
    ptrace(PTRACE_DETACH, thread, NULL, NULL);
    printf("%lld\n", (long long)now.rax);
    return 0;
}

#else

int main(void)
{
    fprintf(stderr, "not for this architecture\n");
    return 77;
}

#endif
