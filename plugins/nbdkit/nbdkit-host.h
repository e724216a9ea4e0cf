/* The functions that nbdkit plugins call in their host (nbdkit-plugin(3)), and what the backend
 * tells them.  They are all that the program exports to plugins: see nbdkit-host.list. */
#ifndef NBDCRYPT_NBDKIT_HOST_H
#define NBDCRYPT_NBDKIT_HOST_H

#include "plugins/nbdkit/nbdkit-api.h"
#include "server/base/error.h"
#include "server/block/request.h"

/* Of the plugin that the calling thread is in. */
struct nbdkit_caller {
    const char *name;                   /* as the operator wrote it */
    const char *call;                   /* what it is doing, for messages */
    const struct nbdkit_plugin *plugin; /* NULL: it is being loaded */
    const char *export_name;
    char *held; /* NBDKIT_HELD_BYTES: the last line of nbdkit_error(), for the sentence of the call
                 * that fails; NULL: it is logged at once */
};
#define NBDKIT_HELD_BYTES 512u

/* Any thread: what it calls from now on is this call (its name) of this plugin.  Forgets the errno
 * of the call before. */
void nbdkit_host_enter(struct nbdkit_caller *caller, const char *call);
/* Another call of the same: forgets the errno of the one before. */
void nbdkit_host_forget_error(void);
/* It is in no plugin any more. */
void nbdkit_host_leave(void);
/* The calling thread's, or NULL. */
const struct nbdkit_caller *nbdkit_host_caller(void);
/* The plugin that the calling thread is in; it is in one. */
const struct nbdkit_plugin *nbdkit_host_plugin(void);
/* The positive errno of a call that failed: what nbdkit_set_error() said, or errno where the plugin
 * keeps it, or EIO. */
int nbdkit_host_error(const struct nbdkit_plugin *plugin);

/* What nbdkit_host_error() of this thread's call will be. */
void nbdkit_set_error(int code);
/* A call of its life has failed: the sentence, with what the plugin said of it last. */
NODISCARD int nbdkit_host_failed(struct nbdkit_caller *caller, struct error *err);

/* The extents of one request, which nbdkit_add_extent() fills. */
struct nbdkit_extents {
    uint64_t start_bytes, end_bytes;
    uint64_t next_bytes; /* where the next one must begin */
    bool begun;
    struct extent_list *list;
};

#endif
