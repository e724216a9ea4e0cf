/* The keys of configuration files: the rows of the command line's tables, by section.  Nothing is
 * said twice: an option that gets a section has a key. */
#ifndef NBDCRYPT_CONFIG_KEYS_H
#define NBDCRYPT_CONFIG_KEYS_H

#include "server/base/params.h"

#define CONFIG_KEYS_MAX 96u     /* of one section */
#define CONFIG_SECTIONS_MAX 16u /* that the tables know */

#define CONFIG_EXPORT "export" /* [export NAME] */
#define CONFIG_DEFAULTS \
    "defaults" /* what is given once for all exports: the rows of "export" in serve_params */

#define CONFIG_LIMITS "limits" /* [limits NAME] */

/* Keys of an export with a namespace behind them, which no row has. */
#define CONFIG_METADATA "metadata"
#define CONFIG_METADATA_FILE "metadata-file"

struct config_keys {
    struct param rows[CONFIG_KEYS_MAX + 1]; /* their names are the keys; a table of its own */
    size_t count;
};

/* What only files say of an export: name and image. */
extern const struct param config_export_params[];

/* The keys of a section; none: there is no such section. */
void config_keys_of(struct config_keys *out, const char *section);

/* The row of the tables that this key is; NULL: there is none. */
const struct param *config_key_row(const char *section, const char *key);

/* The names of all sections, in the order of the tables; how many. */
size_t config_sections(const char *out[CONFIG_SECTIONS_MAX]);

/* What is to be said of a key that its section does not have, behind "unknown key 'x'": "
 * (allow?)",
 * ": it belongs into [server]"; "": nothing.  `hint` has room for `bytes`. */
void config_key_hint(char *hint, size_t bytes, const struct config_keys *keys, const char *section,
                     const char *typed);

/* Why this may not be the value of a key: it is a secret, or would have one in it, and there is
 * another way.  NULL: it may.  The value is not in the sentence. */
const char *config_value_is_secret(const struct param *row, const char *value);

/* The same for a password alone, wherever paths may be relative. */
const char *config_value_has_password(const char *value);

/* Does it name a file by a path that does not begin with '/'? */
bool config_value_is_relative(const struct param *row, const char *value);

/* A sentence that names options ("--tls-psk FILE") becomes one that names keys ("[tls] psk FILE"):
 * who reads it has written a file.  Keys of `section` stand alone; NULL: of no section.  What is
 * for the command line alone stays. */
void config_keys_in_sentence(struct error *err, const char *section);

#endif
