#include "server/serve/serve-config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/access/access.h"
#include "server/config/config-folder.h"
#include "server/serve/config-keys.h"
#include "server/serve/export-options.h"
#include "server/serve/limit-options.h"

#define WHERE_BYTES 160u

/* What the lines of a section, or of several of one kind, are written to. */
struct target {
    struct serve_options *options;
    void *fields;
    const void *defaults; /* a struct of the same type */
    struct config_keys keys;
    struct config_place places[CONFIG_KEYS_MAX]; /* where each key was given last */
    struct config_place metadata_places[METADATA_NAMESPACES_MAX];
    struct export_settings *settings; /* of an export; NULL: another section */
    bool allow_is_emptied;            /* by a line that says so */
    const char *section;
    char where[WHERE_BYTES]; /* begins messages */
};

static int no_memory(struct error *err)
{
    return error_no_memory(err, "for the configuration");
}

/* ---- names ---- */

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);

    return found == NULL ? -1 : (int)(found - digits);
}

/* name = "..." has what a line can't: \xNN, \\ and \".  In place. */
static int unquote(char *text, struct error *err)
{
    char *out = text, *in = text + 1;

    for (; *in != '"' && *in != '\0'; in++) {
        if (*in != '\\') {
            *out++ = *in;
            continue;
        }
        in++;
        if (*in == '\\' || *in == '"') {
            *out++ = *in;
        } else if (*in == 'x' && hex_digit(in[1]) >= 0 && hex_digit(in[2]) >= 0) {
            *out++ = (char)(hex_digit(in[1]) * 16 + hex_digit(in[2]));
            in += 2;
            if (out[-1] == '\0')
                return error_set(err, -EINVAL, "name: a name has no zero byte");
        } else {
            return error_set(err, -EINVAL,
                             "name: behind a backslash stands xNN, another one or \"");
        }
    }
    if (in[0] != '"' || in[1] != '\0')
        return error_set(err, -EINVAL, "name: the quotation mark has no partner at the end");
    *out = '\0';
    return 0;
}

static int apply_name(struct target *target, struct error *err)
{
    char *name = (char *)target->settings->name; /* of options->files.texts */

    return *name == '"' ? unquote(name, err) : 0;
}

/* ---- one line ---- */

/* What can be seen of one value alone is told with its line. */
static int check_value(const struct param *row, const char *value, struct error *err)
{
    struct listen_address address;
    struct unix_permissions permissions;
    struct access *access = NULL;
    int result = 0;

    if (strcmp(row->name, "allow") == 0)
        result = access_create(&access, &value, 1, err);
    else if (strcmp(row->name, "listen") == 0 && row->type == PARAM_LIST)
        result = listen_address_parse_tcp(&address, value, err);
    else if (strcmp(row->name, "unix") == 0)
        result = listen_address_parse_unix(&address, value, err);
    else if (strcmp(row->name, "unix-mode") == 0)
        result = unix_permissions_parse_mode(&permissions, row->name, value, err);
    else if (strcmp(row->name, "unix-group") == 0)
        result = unix_permissions_parse_group(&permissions, row->name, value, err);
    access_free(access);
    if (result != 0 && result != -ENOMEM && strcmp(row->name, "allow") == 0)
        error_prefix(err, "allow: ");
    return result;
}

static void take_back(struct target *target, const struct param *row)
{
    struct param_list *list = (void *)((char *)target->fields + row->offset);

    if (row->type == PARAM_LIST)
        list->count--;
    else
        params_reset(target->fields, row, target->defaults);
}

static int set_value(struct target *target, const struct param *row, const char *value,
                     struct error *err)
{
    const char *secret = config_value_is_secret(row, value);
    int result;

    /* Nothing behind the '=': as if nobody had said anything. */
    if (*value == '\0') {
        params_reset(target->fields, row, target->defaults);
        target->allow_is_emptied |= strcmp(row->name, "allow") == 0;
        return 0;
    }
    if (secret != NULL)
        return error_set(err, -EINVAL, "%s: %s", row->name, secret);
    if (config_value_is_relative(row, value))
        return error_set(err, -EINVAL, "%s: write a whole path, from / on", row->name);
    result = params_set(target->fields, row, value, err);
    if (result == 0 && target->settings != NULL && strcmp(row->name, "name") == 0)
        result = apply_name(target, err);
    if (result == 0) {
        result = check_value(row, value, err);
        if (result != 0) /* so that it is told once */
            take_back(target, row);
    }
    return result;
}

static bool is_in_file(const struct config_place *place, const struct config_entry *entry)
{
    return place->file != NULL && place->file == entry->place.file;
}

static int apply_key(struct target *target, const struct config_entry *entry, struct error *err)
{
    const struct param *row = params_find(target->keys.rows, entry->key);
    struct config_place *place = row == NULL ? NULL : &target->places[row - target->keys.rows];
    char hint[256];

    if (row == NULL) {
        config_key_hint(hint, sizeof hint, &target->keys, target->section, entry->key);
        return error_set(err, -EINVAL, "unknown key '%.*s'%s",
                         export_options_shown(strlen(entry->key)), entry->key, hint);
    }
    if (*entry->argument != '\0')
        return error_set(err, -EINVAL, "%s: write it as one word: %s = VALUE", row->name,
                         row->name);
    if (row->type != PARAM_LIST && is_in_file(place, entry))
        return error_set(err, -EINVAL, "%s is given twice: in line %u, too", row->name,
                         place->line);
    *place = entry->place;
    return set_value(target, row, entry->value, err);
}

/* ---- metadata ---- */

static int read_metadata_file(struct export_metadata *metadata, const struct config_entry *entry,
                              struct error *err)
{
    char value[METADATA_VALUE_BYTES_MAX + 1];
    struct stat status;
    size_t bytes = 0;
    ssize_t got = 1;
    int fd;

    if (*entry->value != '/')
        return error_set(err, -EINVAL, "write a whole path, from / on");
    fd = open(entry->value, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, -EINVAL, "%s: %s", entry->value, strerror(errno));
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return error_set(err, -EINVAL, "%s is not a regular file", entry->value);
    }
    while (got > 0 && bytes < sizeof value) {
        got = read(fd, value + bytes, sizeof value - bytes);
        bytes += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    if (got < 0)
        return error_set(err, -EINVAL, "%s: %s", entry->value, strerror(errno));
    return export_metadata_set(metadata, entry->argument, value, bytes, err);
}

/* What an earlier file said. */
static void forget_metadata(struct target *target, const struct metadata_item *item)
{
    struct export_metadata *metadata = &target->settings->metadata;

    if (item == NULL)
        return;
    struct config_place *place = &target->metadata_places[item - metadata->items];
    memmove(place, place + 1,
            (size_t)(target->metadata_places + METADATA_NAMESPACES_MAX - place - 1) *
                sizeof *place);
    (void)export_metadata_remove(metadata, item->name_space);
}

static int set_metadata(struct target *target, const struct config_entry *entry, struct error *err)
{
    struct export_metadata *metadata = &target->settings->metadata;
    const struct metadata_item *item = export_metadata_find(metadata, entry->argument);

    if (item != NULL && is_in_file(&target->metadata_places[item - metadata->items], entry))
        return error_set(err, -EINVAL, "this namespace is given twice: in line %u, too",
                         target->metadata_places[item - metadata->items].line);
    if (*entry->value == '\0') {
        forget_metadata(target, item);
        return 0;
    }
    int result = strcmp(entry->key, CONFIG_METADATA) == 0
                     ? export_metadata_set(metadata, entry->argument, entry->value,
                                           strlen(entry->value), err)
                     : read_metadata_file(metadata, entry, err);
    item = export_metadata_find(metadata, entry->argument);
    if (result == 0)
        target->metadata_places[item - metadata->items] = entry->place;
    return result;
}

static int apply_metadata(struct target *target, const struct config_entry *entry,
                          struct error *err)
{
    int result = set_metadata(target, entry, err);

    if (result != 0 && result != -ENOMEM)
        error_prefix(err, "%s %.*s: ", entry->key, export_options_shown(strlen(entry->argument)),
                     entry->argument);
    return result;
}

/* ---- sections ---- */

static bool is_metadata(const struct target *target, const char *key)
{
    return target->settings != NULL &&
           (strcmp(key, CONFIG_METADATA) == 0 || strcmp(key, CONFIG_METADATA_FILE) == 0);
}

/* `section`: the one that `where` names. */
static int note(struct serve_options *options, int result, const struct config_place *place,
                const char *where, const char *section, const struct error *err)
{
    struct error sentence;

    if (result == 0 || result == -ENOMEM)
        return result;
    if (result == -EBADF && options->for_others)
        return 0;
    sentence = *err;
    config_keys_in_sentence(&sentence, section);
    config_problem(&options->files.problems, place, "%s%s", where, sentence.text);
    return 0;
}

static int apply_section(struct target *target, const struct config_section *section,
                         struct error *err)
{
    const struct config_entry *entries = target->options->files.entries;
    int result = 0;

    for (size_t i = section->first_entry;
         i < section->first_entry + section->entry_count && result == 0; i++) {
        struct error reason = { "" };

        result = is_metadata(target, entries[i].key) ? apply_metadata(target, &entries[i], &reason)
                                                     : apply_key(target, &entries[i], &reason);
        result = note(target->options, result, &entries[i].place, target->where, target->section,
                      &reason);
    }
    return result == 0 ? 0 : no_memory(err);
}

/* There may be several, [KIND NAME]; all others are there once. */
static bool has_names(const char *kind)
{
    return strcmp(kind, CONFIG_EXPORT) == 0 || strcmp(kind, CONFIG_LIMITS) == 0;
}

/* The nearest of them is found as that of a table is; others write them with capitals. */
static void tell_unknown_section(struct serve_options *options,
                                 const struct config_section *section, const char **names,
                                 size_t count)
{
    struct param table[CONFIG_SECTIONS_MAX + 1] = { { 0 } };
    char small[64] = "";
    const char *near;

    for (size_t i = 0; i < count; i++)
        table[i].name = names[i];
    for (size_t i = 0; i + 1 < sizeof small && section->kind[i] != '\0'; i++)
        small[i] = (char)tolower((unsigned char)section->kind[i]);
    near = params_nearest(table, small);
    config_problem(&options->files.problems, &section->place, "unknown section [%.*s]%s%s%s%s",
                   export_options_shown(strlen(section->kind)), section->kind,
                   near != NULL ? " ([" : "", near != NULL ? near : "",
                   near != NULL && has_names(near) ? " NAME" : "", near != NULL ? "]?)" : "");
}

static void check_label(struct serve_options *options, const struct config_section *section)
{
    bool named = has_names(section->kind);

    if (named && *section->label == '\0')
        config_problem(&options->files.problems, &section->place, "%s has a name: write [%s NAME]",
                       strcmp(section->kind, CONFIG_EXPORT) == 0 ? "an export" : "a group",
                       section->kind);
    else if (!named && *section->label != '\0')
        config_problem(&options->files.problems, &section->place,
                       "there is one section [%s]: it has no name", section->kind);
}

static void check_kinds(struct serve_options *options)
{
    const char *names[CONFIG_SECTIONS_MAX];
    size_t count = config_sections(names);

    for (size_t i = 0; i < options->files.section_count; i++) {
        const struct config_section *section = &options->files.sections[i];
        size_t k = 0;

        while (k < count && strcmp(names[k], section->kind) != 0)
            k++;
        if (k == count)
            tell_unknown_section(options, section, names, count);
        else
            check_label(options, section);
    }
}

/* Where a key was given last; its file is NULL if nowhere. */
static const struct config_place *place_of_key(const struct target *target, const char *key)
{
    static const struct config_place nowhere;
    const struct param *row = params_find(target->keys.rows, key);

    return row == NULL ? &nowhere : &target->places[row - target->keys.rows];
}

/* `allow =` that nothing follows could mean nobody as well as everybody. */
static void check_allow(const struct target *target, const struct param_list *allow)
{
    if (target->allow_is_emptied && allow->count == 0)
        config_problem(&target->options->files.problems, place_of_key(target, "allow"),
                       "%sallow is emptied, and no rule follows: write allow = any if everybody "
                       "may attach, or leave it out",
                       target->where);
}

/* All sections of one kind, in all files. */
static int apply_kind(struct target *target, const char *kind, struct error *err)
{
    const struct config_file *files = &target->options->files;
    int result = 0;

    memset(target->places, 0, sizeof target->places);
    target->allow_is_emptied = false;
    config_keys_of(&target->keys, kind);
    target->section = kind;
    (void)snprintf(target->where, sizeof target->where, "[%s]: ", kind);
    for (size_t i = 0; i < files->section_count && result == 0; i++)
        if (strcmp(files->sections[i].kind, kind) == 0)
            result = apply_section(target, &files->sections[i], err);
    if (result == 0 && strcmp(kind, CONFIG_DEFAULTS) == 0)
        check_allow(target, &target->options->common.allow);
    return result;
}

int serve_config_apply(struct serve_options *options, struct error *err)
{
    struct serve_options defaults = *options;
    struct target *target = calloc(1, sizeof *target);
    const char *names[CONFIG_SECTIONS_MAX];
    size_t count = config_sections(names);
    int result = target == NULL ? no_memory(err) : 0;

    if (result == 0) {
        check_kinds(options);
        target->options = options;
        target->fields = options;
        target->defaults = &defaults;
    }
    for (size_t i = 0; i < count && result == 0; i++)
        if (!has_names(names[i]))
            result = apply_kind(target, names[i], err);
    free(target);
    return result;
}

int serve_config_read(struct serve_options *options, bool any_owner, struct error *err)
{
    int result = config_folder_read(&options->files, options->config, options->config_dirs.items,
                                    options->config_dirs.count, any_owner, err);

    return result == 0 ? serve_config_apply(options, err) : result;
}

/* ---- sections with names ---- */

static int by_label(const void *a, const void *b, void *context)
{
    const struct config_section *sections = context;
    size_t one = *(const size_t *)a, other = *(const size_t *)b;
    int order = strcmp(sections[one].label, sections[other].label);

    return order != 0 ? order : one < other ? -1 : one > other;
}

static bool is_named(const struct config_section *section, const char *kind)
{
    return strcmp(section->kind, kind) == 0 && *section->label != '\0';
}

static size_t count_of(const struct serve_options *options, const char *kind)
{
    size_t count = 0;

    for (size_t i = 0; i < options->files.section_count; i++)
        count += is_named(&options->files.sections[i], kind);
    return count;
}

/* Gives for each section of the kind the one that goes on with it, SIZE_MAX for the last, and for
 * the others 0; and in `firsts` those that begin one. */
static int chain(const struct config_file *files, const char *kind, size_t *next, bool *firsts,
                 struct error *err)
{
    size_t *order = calloc(files->section_count + 1, sizeof *order), count = 0;

    if (order == NULL)
        return no_memory(err);
    for (size_t i = 0; i < files->section_count; i++)
        if (is_named(&files->sections[i], kind))
            order[count++] = i;
    if (count > 0)
        qsort_r(order, count, sizeof *order, by_label, files->sections);
    for (size_t i = 0; i < count; i++) {
        bool same = i + 1 < count && strcmp(files->sections[order[i]].label,
                                            files->sections[order[i + 1]].label) == 0;

        next[order[i]] = same ? order[i + 1] : SIZE_MAX;
        firsts[order[i]] |= i == 0 || next[order[i - 1]] == SIZE_MAX;
    }
    free(order);
    return 0;
}

/* A later file adds to what an earlier one has; the same file has it once. */
static int apply_sections(struct target *target, size_t first, const size_t *next,
                          struct error *err)
{
    const struct config_section *sections = target->options->files.sections;
    const struct config_section *before = NULL;
    int result = 0;

    for (size_t i = first; i != SIZE_MAX && result == 0; i = next[i]) {
        if (before != NULL && before->place.file == sections[i].place.file)
            config_problem(&target->options->files.problems, &sections[i].place,
                           "%sit is there twice: in line %u, too", target->where,
                           before->place.line);
        before = &sections[i];
        result = apply_section(target, before, err);
    }
    return result;
}

/* Begins one: what its sections say is written to `fields`. */
static int apply_named(struct target *target, void *fields, const void *defaults, size_t first,
                       const size_t *next, struct error *err)
{
    memset(target->places, 0, sizeof target->places);
    target->allow_is_emptied = false;
    memset(target->metadata_places, 0, sizeof target->metadata_places);
    target->fields = fields;
    target->defaults = defaults;
    return apply_sections(target, first, next, err);
}

typedef int read_fn(struct target *target, const size_t *next, const bool *firsts, size_t at,
                    struct error *err);

/* All of one kind, from `first` on where they are put. */
static int read_kind(struct serve_options *options, const char *kind, read_fn *read, size_t first,
                     struct error *err)
{
    size_t count = options->files.section_count;
    size_t *next = calloc(count + 1, sizeof *next);
    bool *firsts = calloc(count + 1, sizeof *firsts);
    struct target *target = calloc(1, sizeof *target);
    int result;

    if (next == NULL || firsts == NULL || target == NULL) {
        result = no_memory(err);
    } else {
        target->options = options;
        target->section = kind;
        config_keys_of(&target->keys, kind);
        result = chain(&options->files, kind, next, firsts, err);
    }
    if (result == 0)
        result = read(target, next, firsts, first, err);
    free(target);
    free(firsts);
    free(next);
    return result;
}

/* ---- exports ---- */

static int complete_export(struct target *target, struct error *err)
{
    struct export_settings *settings = target->settings;

    if (settings->image == NULL && place_of_key(target, "image")->file != NULL)
        return 0; /* what is wrong with it has been told */
    if (settings->image == NULL)
        return error_set(err, -EINVAL, "it has no image: write image = IMAGE");
    check_allow(target, &settings->allow);
    return export_options_finish(settings, &target->options->common, err);
}

static int read_export(struct target *target, size_t first, const size_t *next, struct error *err)
{
    struct serve_options *options = target->options;
    const struct config_section *section = &options->files.sections[first];
    struct export_settings defaults = export_options_inherit(&options->common);
    struct error reason = { "" };
    int result;

    defaults.name = section->label;
    defaults.image = NULL;
    *target->settings = defaults;
    (void)snprintf(target->where, sizeof target->where,
                   "export '%.*s': ", export_options_shown(strlen(section->label)), section->label);
    result = apply_named(target, target->settings, &defaults, first, next, err);
    if (result == 0) {
        result = complete_export(target, &reason);
        result = note(options, result, &section->place, target->where, CONFIG_EXPORT, &reason);
    }
    return result == 0 ? 0 : no_memory(err);
}

static int read_exports(struct target *target, const size_t *next, const bool *firsts, size_t at,
                        struct error *err)
{
    struct serve_options *options = target->options;
    int result = 0;

    for (size_t i = 0; i < options->files.section_count && result == 0; i++) {
        if (!firsts[i])
            continue;
        if (at == CONFIG_EXPORTS_MAX) {
            config_problem(&options->files.problems, &options->files.sections[i].place,
                           "there are more than %u exports", CONFIG_EXPORTS_MAX);
            break;
        }
        options->export_places[at] = options->files.sections[i].place;
        target->settings = &options->exports[at++];
        options->export_count = at;
        result = read_export(target, i, next, err);
    }
    return result;
}

size_t serve_config_export_count(const struct serve_options *options)
{
    size_t count = count_of(options, CONFIG_EXPORT);

    return count < CONFIG_EXPORTS_MAX ? count : CONFIG_EXPORTS_MAX;
}

int serve_config_exports(struct serve_options *options, size_t first, struct error *err)
{
    return read_kind(options, CONFIG_EXPORT, read_exports, first, err);
}

/* ---- groups of limits ---- */

static bool is_given(const struct target *target)
{
    for (size_t i = 0; i < target->keys.count; i++)
        if (target->places[i].file != NULL)
            return true;
    return false;
}

static int read_group(struct target *target, struct limit_group_settings *group, size_t first,
                      const size_t *next, struct error *err)
{
    static const struct limit_settings none;
    const struct config_section *section = &target->options->files.sections[first];
    struct error reason = { "" };

    group->name = section->label;
    (void)snprintf(target->where, sizeof target->where,
                   "limits '%.*s': ", export_options_shown(strlen(section->label)), section->label);
    int result = apply_named(target, &group->limits, &none, first, next, err);
    if (result == 0) {
        result = limit_options_check(group, is_given(target) || section->entry_count > 0, &reason);
        result =
            note(target->options, result, &section->place, target->where, CONFIG_LIMITS, &reason);
    }
    return result == 0 ? 0 : no_memory(err);
}

static int read_groups(struct target *target, const size_t *next, const bool *firsts, size_t at,
                       struct error *err)
{
    struct serve_options *options = target->options;
    size_t most = at + LIMIT_GROUPS_CONFIGURED_MAX;
    int result = 0;

    for (size_t i = 0; i < options->files.section_count && result == 0; i++) {
        if (!firsts[i])
            continue;
        if (at == most) {
            config_problem(&options->files.problems, &options->files.sections[i].place,
                           "there are more than %u groups of limits", LIMIT_GROUPS_CONFIGURED_MAX);
            break;
        }
        result = read_group(target, &options->limit_groups[at++], i, next, err);
        options->limit_group_count = at;
    }
    return result;
}

size_t serve_config_group_count(const struct serve_options *options)
{
    size_t count = count_of(options, CONFIG_LIMITS);

    return count < LIMIT_GROUPS_CONFIGURED_MAX ? count : LIMIT_GROUPS_CONFIGURED_MAX;
}

int serve_config_groups(struct serve_options *options, size_t first, struct error *err)
{
    return read_kind(options, CONFIG_LIMITS, read_groups, first, err);
}

/* ---- what is seen later ---- */

/* The last line of a section of this kind, which is near what is meant. */
static struct config_place place_of_section(const struct serve_options *options, const char *kind)
{
    struct config_place place = { .file = options->config };

    for (size_t i = 0; kind != NULL && i < options->files.section_count; i++)
        if (strcmp(options->files.sections[i].kind, kind) == 0)
            place = options->files.sections[i].place;
    return place;
}

int serve_config_note(struct serve_options *options, int result, const char *section,
                      const struct error *err)
{
    struct config_place place;

    if (options->config == NULL)
        return result;
    place = place_of_section(options, section);
    return note(options, result, &place, "", NULL, err);
}

int serve_config_note_export(struct serve_options *options, int result, size_t index,
                             const struct error *err)
{
    return options->config == NULL
               ? result
               : note(options, result, &options->export_places[index], "", NULL, err);
}

void serve_config_add_place(const struct serve_options *options, size_t index, struct error *err)
{
    const struct config_place *place = &options->export_places[index];

    if (place->file == NULL)
        error_set(err, -EINVAL, "%s; the other one is that of the command line", err->text);
    else
        error_set(err, -EINVAL, "%s; the other one is in %s:%u", err->text, place->file,
                  place->line);
}
