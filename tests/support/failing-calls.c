/* To be preloaded: one call of the threads that make changes fails, the n-th since it was armed.
 *
 * FAILING_CALLS names a file of `struct order`, which the test writes and this library maps.  A
 * call counts when it is of the kind that was ordered, and of one of these threads. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum kind { OFF, MEMORY, LIBRARY_MEMORY, DESCRIPTORS, FILES, THREADS };

struct order {
    atomic_uint kind;
    atomic_uint seen; /* calls of the kind; the test sets it to 0 */
    atomic_uint fail_at;
    atomic_uint failed;
};

static struct order *order;
static uintptr_t program_start, program_end;

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);

/* Where the code of the program is: the first lines of the map are its own. */
static void find_program(void)
{
    char text[4096], name[256];
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    ssize_t bytes = readlink("/proc/self/exe", name, sizeof name - 1);

    if (fd < 0 || bytes < 0)
        return;
    name[bytes] = '\0';
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *end;
        uintptr_t start = strtoull(line, &end, 16);

        if (strstr(line, name) == NULL)
            break;
        program_start = program_start != 0 ? program_start : start;
        program_end = strtoull(end + 1, NULL, 16);
    }
}

static __attribute__((constructor)) void begin(void)
{
    const char *path = getenv("FAILING_CALLS");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    find_program();
    void *memory = mmap(NULL, sizeof *order, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED)
        order = memory;
}

static bool is_thread(const char *wanted)
{
    char name[16] = "";

    prctl(PR_GET_NAME, name);
    return strcmp(name, wanted) == 0;
}

static bool is_of_a_change(void)
{
    static const char *const names[] = { "nbdcrypt-jobs", "nbdcrypt-export", "nbdcrypt-errand",
                                         "nbdcrypt-open" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (is_thread(names[i]))
            return true;
    return false;
}

static bool fails(enum kind kind)
{
    if (order == NULL || atomic_load(&order->kind) != kind || !is_of_a_change() ||
        atomic_fetch_add(&order->seen, 1) + 1 != atomic_load(&order->fail_at))
        return false;
    atomic_store(&order->failed, 1);
    return true;
}

/* Others, such as libtasn1, crash where there is no memory, and json-c does when it parses a
 * header.
 */
static bool is_of_a_library_that_bears_it(const void *caller)
{
    struct dl_find_object object; /* dladdr() would look at all symbols, with a lock */

    if (_dl_find_object((void *)(uintptr_t)caller, &object) != 0)
        return false;
    const char *name = object.dlfo_link_map->l_name;
    return strstr(name, "/libc.") != NULL ||
           (strstr(name, "json-c") != NULL && is_thread("nbdcrypt-jobs"));
}

static bool no_memory(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    enum kind kind = at >= program_start && at < program_end ? MEMORY : LIBRARY_MEMORY;

    if (order == NULL || atomic_load(&order->kind) != kind ||
        (kind == LIBRARY_MEMORY && !is_of_a_library_that_bears_it(caller)) || !fails(kind))
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes)
{
    return no_memory(__builtin_return_address(0)) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return no_memory(__builtin_return_address(0)) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    return no_memory(__builtin_return_address(0)) ? NULL : __libc_realloc(memory, bytes);
}

char *strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = no_memory(__builtin_return_address(0)) ? NULL : __libc_malloc(bytes);

    return copy != NULL ? memcpy(copy, text, bytes) : NULL;
}

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

#define FAIL(kind, error) \
    if (fails(kind)) {    \
        errno = (error);  \
        return -1;        \
    }

static mode_t mode_of(int flags, va_list args)
{
    return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? (mode_t)va_arg(args, int) : 0;
}

#define OPEN(name)                             \
    int name(const char *path, int flags, ...) \
    {                                          \
        int (*next)(const char *, int, ...);   \
        va_list args;                          \
                                               \
        FAIL(DESCRIPTORS, EMFILE)              \
        va_start(args, flags);                 \
        mode_t mode = mode_of(flags, args);    \
        va_end(args);                          \
        *(void **)&next = real(#name);         \
        return next(path, flags, mode);        \
    }
OPEN(open)
OPEN(open64)

int openat(int folder, const char *path, int flags, ...)
{
    int (*next)(int, const char *, int, ...);
    va_list args;

    FAIL(DESCRIPTORS, EMFILE)
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    *(void **)&next = real("openat");
    return next(folder, path, flags, mode);
}

int socket(int domain, int type, int protocol)
{
    int (*next)(int, int, int);

    FAIL(DESCRIPTORS, EMFILE)
    *(void **)&next = real("socket");
    return next(domain, type, protocol);
}

int eventfd(unsigned count, int flags)
{
    int (*next)(unsigned, int);

    FAIL(DESCRIPTORS, EMFILE)
    *(void **)&next = real("eventfd");
    return next(count, flags);
}

int pipe2(int ends[2], int flags)
{
    int (*next)(int *, int);

    FAIL(DESCRIPTORS, EMFILE)
    *(void **)&next = real("pipe2");
    return next(ends, flags);
}

int bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
    int (*next)(int, const struct sockaddr *, socklen_t);

    FAIL(FILES, EADDRINUSE)
    *(void **)&next = real("bind");
    return next(fd, address, bytes);
}

int listen(int fd, int backlog)
{
    int (*next)(int, int);

    FAIL(FILES, EADDRINUSE)
    *(void **)&next = real("listen");
    return next(fd, backlog);
}

ssize_t read(int fd, void *data, size_t bytes)
{
    ssize_t (*next)(int, void *, size_t);

    FAIL(FILES, EIO)
    *(void **)&next = real("read");
    return next(fd, data, bytes);
}

ssize_t pread(int fd, void *data, size_t bytes, off_t offset)
{
    ssize_t (*next)(int, void *, size_t, off_t);

    FAIL(FILES, EIO)
    *(void **)&next = real("pread");
    return next(fd, data, bytes, offset);
}

int fstat(int fd, struct stat *status)
{
    int (*next)(int, struct stat *);

    FAIL(FILES, EIO)
    *(void **)&next = real("fstat");
    return next(fd, status);
}

int chmod(const char *path, mode_t mode)
{
    int (*next)(const char *, mode_t);

    FAIL(FILES, EPERM)
    *(void **)&next = real("chmod");
    return next(path, mode);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *(*next)(void *, size_t, int, int, int, off_t);

    if (order != NULL && fails(THREADS)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    *(void **)&next = real("mmap");
    return next(at, bytes, protection, flags, fd, offset);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *context)
{
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    if (fails(THREADS))
        return EAGAIN;
    *(void **)&next = real("pthread_create");
    return next(thread, attributes, start, context);
}
