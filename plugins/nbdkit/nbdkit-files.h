/* The disks that plugins of nbdkit are given by name: no plugin locks them, so this is done
 * here. */
#ifndef NBDCRYPT_NBDKIT_FILES_H
#define NBDCRYPT_NBDKIT_FILES_H

#include "server/block/layer.h"

struct nbdkit_file;

struct nbdkit_files {
    const struct stage_settings *settings; /* while the plugin is being opened */
    struct nbdkit_file *first;             /* a list, owned */
};

/* Locks `value` as the backend file: would, if the parameter `key` of this plugin names a disk
 * (those of nbdkit's own plugins are known) and there is such a file or block device.  Errors as
 * file_lock_take(). */
NODISCARD int nbdkit_files_lock(struct nbdkit_files *files, const char *plugin, const char *key,
                                const char *value, struct error *err);

/* The header may be changed by others from now on. */
void nbdkit_files_release_header(const struct nbdkit_files *files);

/* When the plugin has closed them. */
void nbdkit_files_release(struct nbdkit_files *files);

#endif
