#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "server/sandbox/sandbox-seccomp.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Sanitizers trace, fork and open files to tell what they have found. */
#if defined(HAVE_SECCOMP) && !defined(SANITIZED)

#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CALLS_MAX 512

static char *call_names[CALLS_MAX];

/* clone(2) has its flags there, on what we run on. */
#define CLONE_FLAGS_ARGUMENT 0

/* clang-format off */
static const char *const of_programs[] = { "execve", "execveat", "fork", "vfork" };

/* What neither a server nor its libraries have any business with. */
static const char *const of_nobody[] = {
    "acct", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime", "create_module",
    "delete_module", "fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick",
    "init_module", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "lookup_dcookie",
    "migrate_pages", "mknod", "mknodat", "modify_ldt", "mount", "mount_setattr", "move_mount",
    "move_pages", "name_to_handle_at", "nfsservctl", "open_by_handle_at", "open_tree",
    "perf_event_open", "pidfd_getfd", "pivot_root", "process_madvise", "process_vm_readv",
    "process_vm_writev", "ptrace", "quotactl", "quotactl_fd", "reboot", "setdomainname",
    "sethostname", "setns", "settimeofday", "stime", "swapoff", "swapon", "syslog", "umount",
    "umount2", "unshare", "uselib", "userfaultfd", "ustat", "vhangup", "vm86", "vm86old",
};

static const char *const of_workers[] = {
    /* the ring, and what goes past it */
    "close", "eventfd2", "fdatasync", "fstat", "fstat64", "fsync", "getpeername", "getsockname",
    "getsockopt", "io_uring_enter", "io_uring_register", "lseek", "_llseek", "poll", "ppoll",
    "read", "readv", "recv", "recvfrom", "recvmsg", "send", "sendmsg", "sendto", "setsockopt",
    "shutdown", "write", "writev",
    /* memory and locks */
    "brk", "futex", "futex_time64", "futex_waitv", "get_mempolicy", "get_robust_list", "getcpu",
    "madvise", "membarrier", "mincore", "mlock", "mlock2", "mremap", "munlock", "munmap", "rseq",
    "sched_getaffinity", "sched_yield", "set_robust_list", "set_tid_address",
    /* time and chance */
    "clock_getres", "clock_gettime", "clock_gettime64", "clock_nanosleep",
    "clock_nanosleep_time64", "getrandom", "getrusage", "gettimeofday", "nanosleep", "sysinfo",
    "time", "times", "uname",
    /* who it is */
    "getegid", "geteuid", "getgid", "getpid", "getppid", "getpriority", "getrlimit", "gettid",
    "getuid",
    /* signals, and the end */
    "alarm", "exit", "exit_group", "pause", "restart_syscall", "rt_sigaction", "rt_sigpending",
    "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "setitimer", "sigaltstack", "sigreturn",
};
/* clang-format on */

/* ---- rules ---- */

static int refuse(int code, struct error *err)
{
    return error_set(err, code, "system calls can't be restricted: %s", strerror(-code));
}

/* A name that this architecture or this libseccomp does not know is no call. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned count,
               const struct scmp_arg_cmp *conditions)
{
    int number = seccomp_syscall_resolve_name(name);

    return number == __NR_SCMP_ERROR
               ? 0
               : seccomp_rule_add_array(filter, action, number, count, conditions);
}

static int add_all(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t count)
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++)
        result = add(filter, action, names[i], 0, NULL);
    return result;
}

#define ADD_ALL(filter, action, names) \
    add_all(filter, action, names, sizeof(names) / sizeof(names)[0])

/* glibc makes threads by clone() where there is no clone3(), whose flags a filter can't see.  It
 * makes processes with all signals blocked, so that a SIGSYS would end this one, and unheard. */
static int add_threads_only(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp process =
        SCMP_CMP64(CLONE_FLAGS_ARGUMENT, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0);
    int result = add(filter, SCMP_ACT_ERRNO(EPERM), "clone", 1, &process);

    return result == 0 ? add(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL) : result;
}

static int fill(scmp_filter_ctx filter, bool programs)
{
    int result = ADD_ALL(filter, SCMP_ACT_TRAP, of_nobody);

    if (result == 0 && !programs)
        result = ADD_ALL(filter, SCMP_ACT_TRAP, of_programs);
    return result == 0 && !programs ? add_threads_only(filter) : result;
}

/* Nothing becomes code, and no signal goes to another process. */
static int add_worker_conditions(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp not_code = SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    const struct scmp_arg_cmp ourselves = SCMP_CMP64(0, SCMP_CMP_EQ, (uint64_t)getpid(), 0);
    static const struct {
        const char *name;
        unsigned argument;
        uint64_t value;
    } requests[] = { { "ioctl", 1, FIONREAD },
                     { "ioctl", 1, SIOCOUTQ },
                     { "prctl", 0, PR_SET_NAME },
                     { "prctl", 0, PR_GET_NAME } };
    int result = add(filter, SCMP_ACT_ALLOW, "mmap", 1, &not_code);

    if (result == 0)
        result = add(filter, SCMP_ACT_ALLOW, "mmap2", 1, &not_code);
    if (result == 0)
        result = add(filter, SCMP_ACT_ALLOW, "mprotect", 1, &not_code);
    if (result == 0)
        result = add(filter, SCMP_ACT_ALLOW, "tgkill", 1, &ourselves);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0] && result == 0; i++) {
        const struct scmp_arg_cmp asks =
            SCMP_CMP64(requests[i].argument, SCMP_CMP_EQ, requests[i].value, 0);

        result = add(filter, SCMP_ACT_ALLOW, requests[i].name, 1, &asks);
    }
    return result;
}

/* ---- putting them in force ---- */

/* A tree of the numbers, not a list: it is walked at each call that is looked at. */
static scmp_filter_ctx begin(uint32_t otherwise)
{
    scmp_filter_ctx filter = seccomp_init(otherwise);

    if (filter != NULL) {
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        (void)seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    }
    return filter;
}

static void learn_names(void)
{
    for (int i = 0; i < CALLS_MAX; i++)
        if (call_names[i] == NULL)
            call_names[i] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
}

const char *seccomp_call_name(int number)
{
    return number >= 0 && number < CALLS_MAX ? call_names[number] : NULL;
}

const char *seccomp_lack(void)
{
    return NULL;
}

int seccomp_enter(bool programs, struct error *err)
{
    scmp_filter_ctx filter = begin(SCMP_ACT_ALLOW);
    int result = filter == NULL ? -ENOMEM : fill(filter, programs);

    learn_names();
    if (result == 0)
        result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result < 0 ? refuse(result, err) : 0;
}

int seccomp_enter_worker(struct error *err)
{
    scmp_filter_ctx filter = begin(SCMP_ACT_TRAP);
    int result = filter == NULL ? -ENOMEM : ADD_ALL(filter, SCMP_ACT_ALLOW, of_workers);

    if (result == 0)
        result = add_worker_conditions(filter);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result < 0 ? refuse(result, err) : 0;
}

#else

#ifdef SANITIZED
#define LACK "system calls (in a build with sanitizers)"
#else
#define LACK "system calls (built without libseccomp)"
#endif

const char *seccomp_lack(void)
{
    return LACK;
}

int seccomp_enter(bool programs, struct error *err)
{
    (void)programs;
    return error_set(err, -ENOSYS, "it lacks " LACK);
}

int seccomp_enter_worker(struct error *err)
{
    return error_set(err, -ENOSYS, "it lacks " LACK);
}

const char *seccomp_call_name(int number)
{
    (void)number;
    return NULL;
}

#endif
