#include "plugins/rbd/rbd-library.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

/* The names of their binary interfaces, which have been the same since 2010. */
#define RBD_FILE "librbd.so.1"
#define RADOS_FILE "librados.so.2"

struct rbd_library ceph;

static int missing(struct error *err)
{
    return error_set(err, -ENOENT,
                     "librbd of Ceph 15 or newer can't be loaded: %s; install it (Debian package "
                     "librbd1, Fedora librbd1)",
                     dlerror());
}

static int load(struct error *err)
{
    void *rados = dlopen(RADOS_FILE, RTLD_NOW | RTLD_LOCAL);
    void *rbd = rados != NULL ? dlopen(RBD_FILE, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (rbd == NULL)
        return missing(err);
#define RBD_FIND(library, name)                                   \
    do {                                                          \
        ceph.name = (__typeof__(ceph.name))dlsym(library, #name); \
        if (ceph.name == NULL)                                    \
            return missing(err);                                  \
    } while (0);
#define RBD_FIND_RBD(name) RBD_FIND(rbd, name)
#define RBD_FIND_RADOS(name) RBD_FIND(rados, name)
    RBD_FUNCTIONS(RBD_FIND_RBD)
    RADOS_FUNCTIONS(RBD_FIND_RADOS)
    return 0;
}

/* Images are opened side by side. */
int rbd_library_load(struct error *err)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static bool loaded;
    int result = 0;

    pthread_mutex_lock(&mutex);
    if (!loaded)
        result = load(err);
    loaded = result == 0;
    pthread_mutex_unlock(&mutex);
    return result;
}
