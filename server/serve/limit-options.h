/* Groups of limits as they are asked for: --limits NAME,KEY=VALUE[,...], or [limits NAME] with
 * these keys. */
#ifndef NBDCRYPT_LIMIT_OPTIONS_H
#define NBDCRYPT_LIMIT_OPTIONS_H

#include "server/base/params.h"
#include "server/serve/serve-params.h"

#define LIMIT_GROUPS_CONFIGURED_MAX 1000u

/* Fields of struct limit_settings. */
extern const struct param group_params[];

/* Reads `text`, which is cut into pieces and must stay.  -EINVAL with a sentence that names it. */
NODISCARD int limit_options_parse(struct limit_group_settings *out, char *text, struct error *err);

/* What can be said of one; `given`: any of its keys is there, perhaps as off.  -EINVAL. */
NODISCARD int limit_options_check(const struct limit_group_settings *group, bool given,
                                  struct error *err);

/* Whether the name of a group, as an export has it, is that of one; NULL is of none, which is
 * right. -EINVAL with a sentence, and what was perhaps meant. */
NODISCARD int limit_options_find(const struct serve_options *options, const char *name,
                                 struct error *err);

/* The group of that name; NULL: there is none. */
const struct limit_group_settings *limit_options_named(const struct serve_options *options,
                                                       const char *name);

/* Makes them, so that limit_options_use() can't fail: until then they limit nothing.  -ENOMEM with
 * a sentence. */
NODISCARD int limit_options_prepare(const struct serve_options *options, struct error *err);

/* From now on these hold, and no others: what was changed meanwhile stays where they say the same
 * as before. */
void limit_options_use(const struct serve_options *options);

#endif
