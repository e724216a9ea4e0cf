/* One export as the command line describes it: --export NAME=IMAGE[,key=value...]. */
#ifndef NBDCRYPT_EXPORT_OPTIONS_H
#define NBDCRYPT_EXPORT_OPTIONS_H

#include "server/export/export.h"
#include "server/base/params.h"

/* What may stand behind the commas; fields of struct export_settings.  Lists are freed by
 * params_free(). */
extern const struct param export_params[];

/* Reads `text`, which is cut into pieces and must stay, over what `settings` says already.  -EINVAL
 * with a sentence that names the export. */
NODISCARD int export_options_parse(struct export_settings *settings, char *text, struct error *err);

/* What can be said about one export without looking at its image; -EINVAL. */
NODISCARD int export_options_check(const struct export_settings *settings, struct error *err);

/* What can be said about all of them; -EINVAL. */
NODISCARD int export_options_check_together(const struct export_settings *exports, size_t count,
                                            struct error *err);

/* How much of a name of this length is repeated in messages, for "%.*s". */
int export_options_shown(size_t length);

#endif
