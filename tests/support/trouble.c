/* To be preloaded: a program that gets into trouble when a test wants it.  The thread that gets
 * SIGUSR2 with a number by rt_tgsigqueueinfo(2) (tests/support/trouble.py) does what it says. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { OVER, SPIN, NULL_POINTER, NO_FILE, NO_INSTRUCTION, DIVISION, ABORT, OVERFLOW, NO_MEMORY };

static volatile int over, memory_hangs;
static volatile int zero, nothing;
static volatile char *no_file; /* made at the start: a thread in a sandbox can't */

/* ---- what it does ---- */

static int overflow(int depth)
{
    volatile char room[4096];

    room[depth % 4096] = (char)depth;
    return (zero ? 0 : overflow(depth + 1)) + room[0];
}

static void trap(void)
{
#ifdef __x86_64__
    __asm__ volatile("ud2");
#else
    __builtin_trap();
#endif
}

static void divide(void)
{
#ifdef __x86_64__
    __asm__ volatile("xorl %%ecx, %%ecx\n\txorl %%edx, %%edx\n\tidivl %%ecx"
                     :
                     :
                     : "eax", "ecx", "edx");
#else
    raise(SIGFPE);
#endif
}

/* Memory of a file that ends before it. */
static volatile char *beyond_the_file(void)
{
    int fd = memfd_create("trouble", 0);

    return mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
}

static void make_trouble(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    switch (info->si_value.sival_int) {
    case OVER:
        over = 1;
        memory_hangs = 0;
        break;
    case SPIN:
        while (!over)
            continue;
        break;
    case NULL_POINTER:
        *(volatile int *)(long)zero = 1;
        break;
    case NO_FILE:
        nothing = *no_file;
        break;
    case NO_INSTRUCTION:
        trap();
        break;
    case DIVISION:
        divide();
        break;
    case ABORT:
        abort();
    case OVERFLOW:
        nothing = overflow(0);
        break;
    case NO_MEMORY:
        memory_hangs = 1;
        break;
    }
}

__attribute__((constructor)) static void start(void)
{
    struct sigaction action = { .sa_sigaction = make_trouble, .sa_flags = SA_SIGINFO | SA_RESTART };

    no_file = beyond_the_file();
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR2, &action, NULL);
}

/* On threads that take no signals, too. */
int pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    static int (*real)(int, const sigset_t *, sigset_t *);
    sigset_t without;

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_sigmask");
    if (set == NULL || how == SIG_UNBLOCK)
        return real(how, set, before);
    without = *set;
    sigdelset(&without, SIGUSR2);
    return real(how, &without, before);
}

/* ---- memory that hangs, as if its lock were held ---- */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *before, size_t bytes);
void __libc_free(void *memory);

static void hang(void)
{
    while (memory_hangs)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

void *malloc(size_t bytes)
{
    hang();
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    hang();
    return __libc_calloc(count, bytes);
}

void *realloc(void *before, size_t bytes)
{
    hang();
    return __libc_realloc(before, bytes);
}

void free(void *memory)
{
    hang();
    __libc_free(memory);
}
