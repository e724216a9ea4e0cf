/* /etc/nbdcrypt/nbdtab: what is attached at boot, a line each:
 *
 *     NAME  EXPORT-OR-URI  [OPTION[,OPTION]...]
 *
 * A line that begins with # is none.  Options are those of `nbdcrypt attach` without dashes, and
 * device=nbdN and noauto. */
#ifndef NBDCRYPT_NBDTAB_H
#define NBDCRYPT_NBDTAB_H

#include "server/attach/attach-options.h"

#define NBDTAB_PATH "/etc/nbdcrypt/nbdtab"

struct nbdtab_line {
    char *text; /* what the rest points into, and what options that were read from it do */
    const char *name, *source;
    char *options; /* NULL: none */
};

/* Cuts a line, which is copied. 0: it is none. 1: it is.  -EINVAL, -ENOMEM with a sentence. */
NODISCARD int nbdtab_parse(struct nbdtab_line *out, const char *line, struct error *err);
/* Its options, over those that stand there; they point into the line. -EINVAL with a sentence. */
NODISCARD int nbdtab_options(struct attach_options *options, struct nbdtab_line *line,
                             struct error *err);
void nbdtab_free(struct nbdtab_line *line);

/* The line of that name in the file at `path`, whatever is wrong in others.  1: there is one; 0:
 * there is none, or no file. */
NODISCARD int nbdtab_find(struct nbdtab_line *out, const char *path, const char *name,
                          struct error *err);

/* Writes a line in the place of those of the same name; `source` NULL: only takes these away.  All
 * of it or nothing is written.  attach_record_lock_tab() is held: others write there, too. */
NODISCARD int nbdtab_put(const char *path, const char *name, const char *source,
                         const struct attach_options *options, struct error *err);

#endif
