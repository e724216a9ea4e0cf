/* The configuration that holds, as far as its exports are served: what a reload begins from.  Those
 * that nbdcrypt ctl has removed are not among them (but for those that can only be opened at the
 * start), and those that it has added are where the new configuration has one of that name. */
#ifndef NBDCRYPT_SERVED_CONFIG_H
#define NBDCRYPT_SERVED_CONFIG_H

#include "server/export/export-set.h"
#include "server/serve/serve-params.h"

struct served_config {
    struct serve_options options;   /* those of `current`, with `exports` */
    struct export_settings *copies; /* of what nbdcrypt ctl has added: these are marked as such */
    struct export_settings **kept;  /* what they are made from */
    size_t kept_count;
};

/* `current` must stay as long as `out`; `set` is looked at with its lock.  -ENOMEM; `out` is freed
 * by served_config_free() in every case. */
NODISCARD int served_config_make(struct served_config *out, const struct serve_options *current,
                                 const struct serve_options *next, const struct export_set *set,
                                 struct error *err);
void served_config_free(struct served_config *served);

#endif
