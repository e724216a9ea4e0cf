#include "server/serve/config-keys.h"

#include <assert.h>
#include <string.h>

#include "server/block/image.h"
#include "server/serve/export-options.h"
#include "server/serve/limit-options.h"
#include "server/serve/serve-params.h"

#define FIELD(name) offsetof(struct export_settings, name)

const struct param config_export_params[] = {
    PARAM("name", STRING, "NAME", name, "what clients ask for, where it is not that of the section",
          .section = CONFIG_EXPORT, .change = PARAM_REPLACE),
    PARAM("image", STRING, "IMAGE", image, "the disk", .section = CONFIG_EXPORT,
          .change = PARAM_REPLACE),
    { 0 },
};

/* What belongs to one disk. */
static const char *const not_shared[] = { "description", "header", "expect-uuid", "header-digest" };

static bool is_shared(const char *name)
{
    for (size_t i = 0; i < sizeof not_shared / sizeof not_shared[0]; i++)
        if (strcmp(not_shared[i], name) == 0)
            return false;
    return true;
}

/* ---- sections ---- */

/* --tls-psk is psk in [tls]. */
static const char *key_of(const struct param *row)
{
    size_t length = strlen(row->section);

    if (row->key != NULL)
        return row->key;
    return strncmp(row->name, row->section, length) == 0 && row->name[length] == '-'
               ? row->name + length + 1
               : row->name;
}

static void add_rows(struct config_keys *out, const struct param *table, const char *section)
{
    for (; table->name != NULL; table++) {
        if (table->section == NULL || strcmp(table->section, section) != 0)
            continue;
        assert(out->count < CONFIG_KEYS_MAX);
        out->rows[out->count] = *table;
        out->rows[out->count++].name = key_of(table);
    }
}

static void remove_what_is_not_shared(struct config_keys *keys)
{
    size_t kept = 0;

    for (size_t i = 0; i < keys->count; i++)
        if (is_shared(keys->rows[i].name))
            keys->rows[kept++] = keys->rows[i];
    keys->count = kept;
}

void config_keys_of(struct config_keys *out, const char *section)
{
    out->count = 0;
    if (strcmp(section, CONFIG_EXPORT) == 0) {
        add_rows(out, config_export_params, CONFIG_EXPORT);
        add_rows(out, export_params, CONFIG_EXPORT);
    } else if (strcmp(section, CONFIG_DEFAULTS) == 0) {
        add_rows(out, serve_params, CONFIG_EXPORT);
        remove_what_is_not_shared(out);
    } else if (strcmp(section, CONFIG_LIMITS) == 0) {
        add_rows(out, group_params, CONFIG_EXPORT);
    } else {
        add_rows(out, serve_params, section);
    }
    out->rows[out->count] = (struct param){ 0 };
}

static const struct param *find_row(const struct param *table, const char *section, const char *key)
{
    for (; table->name != NULL; table++)
        if (table->section != NULL && strcmp(table->section, section) == 0 &&
            strcmp(key_of(table), key) == 0)
            return table;
    return NULL;
}

const struct param *config_key_row(const char *section, const char *key)
{
    const struct param *row = NULL;

    if (strcmp(section, CONFIG_DEFAULTS) == 0)
        return is_shared(key) ? find_row(serve_params, CONFIG_EXPORT, key) : NULL;
    if (strcmp(section, CONFIG_LIMITS) == 0)
        return find_row(group_params, CONFIG_EXPORT, key);
    if (strcmp(section, CONFIG_EXPORT) != 0)
        return find_row(serve_params, section, key);
    row = find_row(config_export_params, section, key);
    return row != NULL ? row : find_row(export_params, section, key);
}

static size_t add_section(const char *out[CONFIG_SECTIONS_MAX], size_t count, const char *section)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(out[i], section) == 0)
            return count;
    assert(count < CONFIG_SECTIONS_MAX);
    out[count] = section;
    return count + 1;
}

size_t config_sections(const char *out[CONFIG_SECTIONS_MAX])
{
    size_t count = add_section(out, 0, "server");

    for (const struct param *row = serve_params; row->name != NULL; row++)
        if (row->section != NULL && strcmp(row->section, CONFIG_EXPORT) != 0)
            count = add_section(out, count, row->section);
    count = add_section(out, count, CONFIG_DEFAULTS);
    count = add_section(out, count, CONFIG_EXPORT);
    return add_section(out, count, CONFIG_LIMITS);
}

/* ---- what was meant ---- */

static bool is_secret_name(const char *typed)
{
    static const char *const names[] = { "key",        "passphrase", "password",   "passwd",
                                         "secret",     "volume-key", "master-key", "key-value",
                                         "key-base64", "private-key" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], typed) == 0)
            return true;
    return false;
}

/* The section that has it; NULL: none. */
static const char *home_of(const char *typed, const char *not_this)
{
    const char *sections[CONFIG_SECTIONS_MAX];
    size_t count = config_sections(sections);

    for (size_t i = 0; i < count; i++) {
        struct config_keys keys;

        config_keys_of(&keys, sections[i]);
        if (strcmp(sections[i], not_this) != 0 && params_find(keys.rows, typed) != NULL)
            return sections[i];
    }
    return NULL;
}

/* --tls-psk is meant by tls-psk in [tls]. */
static const struct param *with_section_in_front(const struct config_keys *keys,
                                                 const char *section, const char *typed)
{
    size_t length = strlen(section);

    return strncmp(typed, section, length) == 0 && typed[length] == '-'
               ? params_find(keys->rows, typed + length + 1)
               : NULL;
}

void config_key_hint(char *hint, size_t bytes, const struct config_keys *keys, const char *section,
                     const char *typed)
{
    bool of_disk = strcmp(typed, CONFIG_METADATA) == 0 || strcmp(typed, CONFIG_METADATA_FILE) == 0;
    const char *home = of_disk ? CONFIG_EXPORT : home_of(typed, section),
               *near = params_nearest(keys->rows, typed);
    const struct param *option = params_find(serve_params, typed);
    const struct param *long_form = with_section_in_front(keys, section, typed);

    *hint = '\0';
    if (is_secret_name(typed))
        (void)snprintf(hint, bytes,
                       ": secrets are not written here, but named; use key-file, key-command, "
                       "key-credential or key-keyring, or in [tls] psk");
    else if (long_form != NULL)
        (void)snprintf(hint, bytes, " (%s?)", long_form->name);
    else if (home != NULL && strcmp(home, CONFIG_EXPORT) == 0)
        (void)snprintf(hint, bytes, ": it belongs to one disk, into [export NAME]");
    else if (home != NULL)
        (void)snprintf(hint, bytes, ": it belongs into [%s]", home);
    else if (option != NULL && option->section == NULL)
        (void)snprintf(hint, bytes, ": --%s is for the command line alone", typed);
    else if (near != NULL)
        (void)snprintf(hint, bytes, " (%s?)", near);
}

/* ---- secrets ---- */

/* scheme://USER:PASSWORD@ */
static bool has_password_in_uri(const char *value)
{
    for (const char *at = strstr(value, "://"); at != NULL; at = strstr(at + 3, "://")) {
        size_t length = strcspn(at + 3, "/?# \t\"'");
        const char *end = memrchr(at + 3, '@', length);

        if (end != NULL && memchr(at + 3, ':', (size_t)(end - at - 3)) != NULL)
            return true;
    }
    return false;
}

/* A parameter of a plugin; +FILE and -FD say where it is. */
static bool has_password_parameter(const char *value)
{
    static const char name[] = "password=";

    for (const char *at = strstr(value, name); at != NULL; at = strstr(at + 1, name))
        if (strchr("+-", at[strlen(name)]) == NULL)
            return true;
    return false;
}

static bool names_a_file(const struct param *row)
{
    return row->type == PARAM_STRING && row->value != NULL && strcmp(row->name, "header") != 0 &&
           (strcmp(row->value, "FILE") == 0 || strcmp(row->value, "DIR") == 0 ||
            strcmp(row->value, "FOLDER") == 0);
}

/* `nbdcrypt check` and the service stand in different folders. */
bool config_value_is_relative(const struct param *row, const char *value)
{
    return (strcmp(row->name, "image") == 0 || strcmp(row->name, "header") == 0) &&
           image_is_relative(value);
}

const char *config_value_has_password(const char *value)
{
    if (has_password_in_uri(value))
        return "a password stands in the URI; for nbds+... use a certificate or pre-shared key, "
               "and for plugins a parameter such as password=+FILE";
    if (has_password_parameter(value))
        return "a password stands in it: write password=+FILE";
    return NULL;
}

const char *config_value_is_secret(const struct param *row, const char *value)
{
    if (names_a_file(row) && *value != '/' && strcmp(value, "-") != 0)
        return "write a whole path, from / on; the secret itself does not stand here";
    return row->type == PARAM_STRING ? config_value_has_password(value) : NULL;
}

/* ---- sentences ---- */

static bool is_of_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* The option that "--psk" begins; *length of it without a '-' at its end.  NULL: it has no key. */
static const struct param *option_at(const char *text, size_t *length)
{
    char name[64];

    *length = 2;
    while (is_of_word(text[*length]))
        ++*length;
    while (text[*length - 1] == '-')
        --*length;
    if (*length < 3 || *length - 2 >= sizeof name)
        return NULL;
    memcpy(name, text + 2, *length - 2);
    name[*length - 2] = '\0';
    const struct param *row = params_find(serve_params, name);
    return row != NULL && row->section != NULL ? row : NULL;
}

static bool begins_option(const char *text, const char *at)
{
    return strncmp(at, "--", 2) == 0 && (at == text || !is_of_word(at[-1]));
}

void config_keys_in_sentence(struct error *err, const char *section)
{
    char text[ERROR_TEXT_BYTES];
    size_t used = 0, length;

    for (const char *at = err->text; *at != '\0' && used < sizeof text - 1;) {
        const struct param *row = begins_option(err->text, at) ? option_at(at, &length) : NULL;
        bool here = row == NULL || strcmp(row->section, CONFIG_EXPORT) == 0 ||
                    (section != NULL && strcmp(row->section, section) == 0);

        if (row == NULL) {
            text[used++] = *at++;
            continue;
        }
        int bytes = snprintf(text + used, sizeof text - used, "%s%s%s%s", here ? "" : "[",
                             here ? "" : row->section, here ? "" : "] ", key_of(row));
        if (bytes < 0 || (size_t)bytes >= sizeof text - used)
            break;
        used += (size_t)bytes;
        at += length;
    }
    memcpy(err->text, text, used);
    err->text[used] = '\0';
}
