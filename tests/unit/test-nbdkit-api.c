/* Our declaration of what a plugin of nbdkit and its host know of each other, against the header
 * that plugins are built with (nbdkit-plugin.h, where configure found it).  What differs does not
 * compile. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdio.h>

#ifdef HAVE_NBDKIT_PLUGIN_H

/* Both versions of its interface: their struct has other names than ours. */
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define NBDKIT_API_VERSION 2
#define nbdkit_plugin their_plugin
#include <nbdkit-plugin.h>
#undef NBDKIT_PLUGIN_H
#undef NBDKIT_REGISTER_PLUGIN
#undef NBDKIT_API_VERSION
#undef nbdkit_plugin
#define NBDKIT_API_VERSION 1
#define nbdkit_plugin their_plugin_1
#include <nbdkit-plugin.h>
#undef nbdkit_plugin

enum {
    THEIR_FLAG_MAY_TRIM = NBDKIT_FLAG_MAY_TRIM,
    THEIR_FLAG_FUA = NBDKIT_FLAG_FUA,
    THEIR_FLAG_REQ_ONE = NBDKIT_FLAG_REQ_ONE,
    THEIR_FLAG_FAST_ZERO = NBDKIT_FLAG_FAST_ZERO
};
#undef NBDKIT_FLAG_MAY_TRIM
#undef NBDKIT_FLAG_FUA
#undef NBDKIT_FLAG_REQ_ONE
#undef NBDKIT_FLAG_FAST_ZERO

/* With it all functions that we define for plugins: the compiler compares them with those that
 * their header declares. */
#include "plugins/nbdkit/nbdkit-host.c"
#include "server/block/layer.h"

#define IS(ours, theirs) \
    _Static_assert((unsigned)(ours) == (unsigned)(theirs), #ours " is not " #theirs)

IS(NBDKIT_SERIALIZE_CONNECTIONS, NBDKIT_THREAD_MODEL_SERIALIZE_CONNECTIONS);
IS(NBDKIT_SERIALIZE_ALL, NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS);
IS(NBDKIT_SERIALIZE_REQUESTS, NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS);
IS(NBDKIT_PARALLEL, NBDKIT_THREAD_MODEL_PARALLEL);
IS(NBDKIT_NONE, NBDKIT_FUA_NONE);
IS(NBDKIT_EMULATE, NBDKIT_FUA_EMULATE);
IS(NBDKIT_NATIVE, NBDKIT_FUA_NATIVE);
IS(NBDKIT_NONE, NBDKIT_CACHE_NONE);
IS(NBDKIT_EMULATE, NBDKIT_CACHE_EMULATE);
IS(NBDKIT_NATIVE, NBDKIT_CACHE_NATIVE);
IS(NBDKIT_FLAG_MAY_TRIM, THEIR_FLAG_MAY_TRIM);
IS(NBDKIT_FLAG_FUA, THEIR_FLAG_FUA);
IS(NBDKIT_FLAG_REQ_ONE, THEIR_FLAG_REQ_ONE);
IS(NBDKIT_FLAG_FAST_ZERO, THEIR_FLAG_FAST_ZERO);
IS(EXTENT_HOLE, NBDKIT_EXTENT_HOLE);
IS(EXTENT_ZERO, NBDKIT_EXTENT_ZERO);

/* A member is where theirs is, as long, and of the same type: a function takes the same. */
#define MEMBER_OF(their, ours, theirs)                                                            \
    _Static_assert(                                                                               \
        offsetof(struct nbdkit_plugin, ours) == offsetof(struct their, theirs) &&                 \
            sizeof((struct nbdkit_plugin *)NULL)->ours == sizeof((struct their *)NULL)->theirs && \
            __builtin_types_compatible_p(__typeof__(((struct nbdkit_plugin *)NULL)->ours),        \
                                         __typeof__(((struct their *)NULL)->theirs)),             \
        #ours " is not the " #theirs " of struct " #their)
#define MEMBER(ours, theirs) MEMBER_OF(their_plugin, ours, theirs)
#define MEMBER_1(ours, theirs) MEMBER_OF(their_plugin_1, ours, theirs)
#define SAME(name)      \
    MEMBER(name, name); \
    MEMBER_1(name, name)

MEMBER(struct_bytes, _struct_size);
MEMBER(api_version, _api_version);
MEMBER(thread_model, _thread_model);
MEMBER_1(struct_bytes, _struct_size);
MEMBER_1(api_version, _api_version);
MEMBER_1(thread_model, _thread_model);
SAME(name);
SAME(longname);
SAME(version);
SAME(description);
SAME(load);
SAME(unload);
SAME(config);
SAME(config_complete);
SAME(config_help);
SAME(open);
SAME(close);
SAME(get_size);
SAME(can_write);
SAME(can_flush);
SAME(is_rotational);
SAME(can_trim);
MEMBER(pread_1, _pread_v1);
MEMBER(pwrite_1, _pwrite_v1);
MEMBER(flush_1, _flush_v1);
MEMBER(trim_1, _trim_v1);
MEMBER(zero_1, _zero_v1);
MEMBER_1(pread_1, pread);
MEMBER_1(pwrite_1, pwrite);
MEMBER_1(flush_1, flush);
MEMBER_1(trim_1, trim);
MEMBER_1(zero_1, zero);
SAME(errno_is_preserved);
SAME(dump_plugin);
SAME(can_zero);
SAME(can_fua);
MEMBER(pread, pread);
MEMBER(pwrite, pwrite);
MEMBER(flush, flush);
MEMBER(trim, trim);
MEMBER(zero, zero);
MEMBER_1(pread, _unused1);
MEMBER_1(pwrite, _unused2);
MEMBER_1(flush, _unused3);
MEMBER_1(trim, _unused4);
MEMBER_1(zero, _unused5);
SAME(magic_config_key);
SAME(can_multi_conn);
SAME(can_extents);
SAME(extents);
SAME(can_cache);
SAME(cache);
MEMBER(thread_model_now, thread_model);
MEMBER_1(thread_model_now, thread_model);
SAME(can_fast_zero);
SAME(preconnect);
SAME(get_ready);
SAME(after_fork);
SAME(list_exports);
SAME(default_export);
SAME(export_description);
SAME(cleanup);
SAME(block_size);

/* A newer header may have more, at the end. */
_Static_assert(offsetof(struct nbdkit_plugin, can_fua_1) <= sizeof(struct their_plugin) &&
                   sizeof(struct their_plugin) == sizeof(struct their_plugin_1),
               "we declare more than they do");

int main(void)
{
    printf("as in nbdkit-plugin.h of nbdkit %s; it has %zu more bytes than we declare\n",
           NBDKIT_VERSION_STRING,
           sizeof(struct their_plugin) - offsetof(struct nbdkit_plugin, can_fua_1));
    return 0;
}

#else

#include <stdlib.h>
#include <string.h>

/* CI installs what tests need. */
int main(void)
{
    const char *ci = getenv("CI");

    puts("skipped: nbdkit-plugin.h is not here, or is older than nbdkit 1.30: install "
         "nbdkit-plugin-dev (Fedora: nbdkit-devel), and run configure again");
    return ci != NULL && strcmp(ci, "true") == 0 ? 1 : 77;
}

#endif
