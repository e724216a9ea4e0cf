/* The file of the audit log: of its owner alone (mode 0600), only ever appended to, and of one
 * server at a time. */
#ifndef NBDCRYPT_AUDIT_FILE_H
#define NBDCRYPT_AUDIT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/audit/audit-record.h"
#include "server/base/error.h"

struct audit_file {
    const char *path;
    int fd;
    uint64_t size_bytes; /* as we have left it */
    bool torn;           /* it ends within a line */
};

/* Opens it, or makes it.  `last` is the last whole record that is in it; its seq is 0: there is
 * none. */
NODISCARD int audit_file_open(struct audit_file *out, const char *path, struct audit_line *last,
                              struct error *err);
void audit_file_close(struct audit_file *file);

/* All of the line or nothing; -errno.  -ESTALE: somebody has cut it, or it has no name any more:
 * see audit_file_is_named(). */
NODISCARD int audit_file_append(struct audit_file *file, const char *line, size_t bytes);
/* What was appended is on the storage; -errno. */
NODISCARD int audit_file_sync(const struct audit_file *file);

/* Its path leads to it. */
bool audit_file_is_named(const struct audit_file *file);

#endif
