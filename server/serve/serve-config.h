/* The configuration files of `serve`: what their lines mean for its options and exports.  What is
 * wrong with them is noted in options->files.problems, all of it, each with its place. */
#ifndef NBDCRYPT_SERVE_CONFIG_H
#define NBDCRYPT_SERVE_CONFIG_H

#include "server/serve/serve-params.h"

#define CONFIG_EXPORTS_MAX 10000u

/* Reads options->config and the folders, and sets what all sections without a name say.  The
 * options are as they are when nobody has said anything.  `any_owner`: see config-folder.h.
 * -ENOMEM. */
NODISCARD int serve_config_read(struct serve_options *options, bool any_owner, struct error *err);

/* The same of options->files, which have been read. */
NODISCARD int serve_config_apply(struct serve_options *options, struct error *err);

/* How many exports the files have; before serve_config_exports(). */
size_t serve_config_export_count(const struct serve_options *options);

/* Fills options->exports from `first` on, which has room for so many, and export_places; sets
 * options->export_count.  -ENOMEM. */
NODISCARD int serve_config_exports(struct serve_options *options, size_t first, struct error *err);

/* The same of groups of limits: options->limit_groups, which has room for so many. */
size_t serve_config_group_count(const struct serve_options *options);
NODISCARD int serve_config_groups(struct serve_options *options, size_t first, struct error *err);

/* Takes note of a failure of what looks at options as a whole, and goes on: gives 0, but -ENOMEM
 * when that is `code`.  Without configuration files it gives `code`.  `section` is where it may
 * come from; NULL: not known. */
NODISCARD int serve_config_note(struct serve_options *options, int code, const char *section,
                                const struct error *err);
/* The same of one export. */
NODISCARD int serve_config_note_export(struct serve_options *options, int code, size_t index,
                                       const struct error *err);

/* Puts behind a message where the export of that index is; there are configuration files. */
void serve_config_add_place(const struct serve_options *options, size_t index, struct error *err);

#endif
