/* What applications record about a disk: texts under names of their own, which nobody here
 * interprets and nobody tells clients.  Support finds them where the export is shown. */
#ifndef NBDCRYPT_EXPORT_METADATA_H
#define NBDCRYPT_EXPORT_METADATA_H

#include <stdbool.h>
#include <stddef.h>

#include "server/base/error.h"

#define METADATA_NAMESPACE_BYTES_MAX 255u
#define METADATA_NAMESPACES_MAX 16u
#define METADATA_VALUE_BYTES_MAX (16u << 10)
#define METADATA_ALL_BYTES_MAX (64u << 10) /* names and values of one export */
#define METADATA_JSON_DEPTH_MAX 16

struct metadata_item {
    char *name_space; /* "org.example.app", or a URI */
    char *value;      /* UTF-8, byte for byte as it came, and a NUL that is none of it */
    size_t value_bytes;
};

/* In the order in which they came; all 0: none. */
struct export_metadata {
    struct metadata_item *items;
    size_t count;
};

/* Copies both; what was there under this name is replaced.  A value that begins with '{' must be
 * one JSON object.  -EINVAL: the name is none, or the value no UTF-8 or JSON; -E2BIG: beyond the
 * limits; -ENOMEM.  Nothing has changed then. */
NODISCARD int export_metadata_set(struct export_metadata *metadata, const char *name_space,
                                  const char *value, size_t value_bytes, struct error *err);

/* NULL: there is none of this name. */
const struct metadata_item *export_metadata_find(const struct export_metadata *metadata,
                                                 const char *name_space);
/* Says whether it was there. */
bool export_metadata_remove(struct export_metadata *metadata, const char *name_space);
/* The same names with the same bytes, in any order. */
bool export_metadata_equal(const struct export_metadata *a, const struct export_metadata *b);

void export_metadata_free(struct export_metadata *metadata);

#endif
