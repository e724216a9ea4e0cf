/* What an nbdkit plugin and its host know of each other: the binary interface that nbdkit-plugin(3)
 * documents and keeps stable, in our own declaration, so that nothing of nbdkit is needed to build.
 * Fields are only ever added at the end, whatever the version; the names that end in _1 are of
 * version 1. */
#ifndef NBDCRYPT_NBDKIT_API_H
#define NBDCRYPT_NBDKIT_API_H

#include <stdint.h>

enum {
    NBDKIT_SERIALIZE_CONNECTIONS,
    NBDKIT_SERIALIZE_ALL,
    NBDKIT_SERIALIZE_REQUESTS,
    NBDKIT_PARALLEL
};
enum { NBDKIT_NONE, NBDKIT_EMULATE, NBDKIT_NATIVE }; /* can_fua, can_cache */

#define NBDKIT_FLAG_MAY_TRIM (1u << 0)
#define NBDKIT_FLAG_FUA (1u << 1)
#define NBDKIT_FLAG_REQ_ONE (1u << 2)
#define NBDKIT_FLAG_FAST_ZERO (1u << 3)

struct nbdkit_extents;
struct nbdkit_exports;

struct nbdkit_plugin {
    uint64_t struct_bytes; /* how much of this the plugin has */
    int api_version;
    int thread_model;
    const char *name, *longname, *version, *description;
    void (*load)(void);
    void (*unload)(void);
    int (*config)(const char *key, const char *value);
    int (*config_complete)(void);
    const char *config_help;
    void *(*open)(int readonly);
    void (*close)(void *handle);
    int64_t (*get_size)(void *handle);
    int (*can_write)(void *handle);
    int (*can_flush)(void *handle);
    int (*is_rotational)(void *handle);
    int (*can_trim)(void *handle);
    int (*pread_1)(void *handle, void *data, uint32_t count, uint64_t offset);
    int (*pwrite_1)(void *handle, const void *data, uint32_t count, uint64_t offset);
    int (*flush_1)(void *handle);
    int (*trim_1)(void *handle, uint32_t count, uint64_t offset);
    int (*zero_1)(void *handle, uint32_t count, uint64_t offset, int may_trim);
    int errno_is_preserved;
    void (*dump_plugin)(void);
    int (*can_zero)(void *handle);
    int (*can_fua)(void *handle);
    int (*pread)(void *handle, void *data, uint32_t count, uint64_t offset, uint32_t flags);
    int (*pwrite)(void *handle, const void *data, uint32_t count, uint64_t offset, uint32_t flags);
    int (*flush)(void *handle, uint32_t flags);
    int (*trim)(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
    int (*zero)(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
    const char *magic_config_key;
    int (*can_multi_conn)(void *handle);
    int (*can_extents)(void *handle);
    int (*extents)(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                   struct nbdkit_extents *extents);
    int (*can_cache)(void *handle);
    int (*cache)(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
    int (*thread_model_now)(void);
    int (*can_fast_zero)(void *handle);
    int (*preconnect)(int readonly);
    int (*get_ready)(void);
    int (*after_fork)(void);
    int (*list_exports)(int readonly, int is_tls, struct nbdkit_exports *exports);
    const char *(*default_export)(int readonly, int is_tls);
    const char *(*export_description)(void *handle);
    void (*cleanup)(void);
    int (*block_size)(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum);
    /* Of our copy, behind what a plugin has: see nbdkit-version-1.h. */
    int (*can_fua_1)(void *handle);
};

#endif
