#include "server/serve/serve-options.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "server/access/access.h"
#include "server/base/log-level.h"
#include "server/serve/export-options.h"
#include "server/serve/limit-options.h"
#include "server/serve/serve-config.h"

#define MAX_CONNECTIONS_DEFAULT 4096u
#define HANDSHAKE_TIMEOUT_SECONDS_DEFAULT 10u
#define STALL_TIMEOUT_SECONDS_DEFAULT 60u
#define SHUTDOWN_TIMEOUT_SECONDS_DEFAULT 60u
#define OPEN_TIMEOUT_SECONDS_DEFAULT 120u
#define BUSY_WAIT_US_DEFAULT 50u
#define RETRY_EXPORTS_SECONDS_DEFAULT 60u
#define REPORT_KEEP_DEFAULT 20u
#define STALL_REPORT_SECONDS_DEFAULT 5u
#define HUNG_REQUEST_SECONDS_DEFAULT 30u
#define RETRY_EXPORTS_NOT_GIVEN UINT_MAX
#define PORT_NOT_GIVEN UINT_MAX

static int no_memory(struct error *err)
{
    return error_no_memory(err, NULL);
}

/* ---- exports ---- */

static int parse_exports(struct serve_options *options, struct error *err)
{
    for (size_t i = 0; i < options->export_texts.count; i++) {
        int result;

        options->texts[i] = strdup(options->export_texts.items[i]);
        if (options->texts[i] == NULL)
            return no_memory(err);
        result =
            export_options_parse(&options->exports[i], options->texts[i], &options->common, err);
        if (result != 0)
            return result;
    }
    return 0;
}

static int parse_single_export(struct serve_options *options, const char *image, struct error *err)
{
    struct export_settings *settings = &options->exports[0];

    *settings = export_options_inherit(&options->common);
    settings->name = options->common.name != NULL ? options->common.name : "";
    settings->image = image;
    settings->key = options->common.key;
    settings->demands = header_demands_meaning(&options->common.header_demands);
    return export_options_check(settings, "--", err);
}

static int check_tls_only(struct serve_options *options, struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < options->export_count && result == 0; i++) {
        if (!options->exports[i].tls_only || options->tls_mode != TLS_OFF)
            continue;
        result = error_set(err, -EINVAL,
                           "export '%.*s' is tls-only, and there is no TLS: give "
                           "--tls-certificates DIR or --tls-psk FILE",
                           export_options_shown(strlen(options->exports[i].name)),
                           options->exports[i].name);
        result = serve_config_note_export(options, result, i, err);
    }
    return result;
}

static bool key_is_used(const struct serve_options *options)
{
    for (size_t i = 0; i < options->export_count; i++) {
        if (options->exports[i].key_is_common)
            return true;
    }
    return false;
}

/* What several exports can't share; NULL: none of it was given. */
static const char *given_for_one(const struct export_settings *common, const char **instead)
{
    const struct {
        const char *given, *name, *instead;
    } rows[] = {
        { common->name, "name", "NAME=IMAGE" },
        { common->description, "description", "NAME=IMAGE,description=TEXT" },
        { common->header, "header", "NAME=IMAGE,header=FILE" },
        { common->header_demands.uuid, "expect-uuid", "NAME=IMAGE,expect-uuid=..." },
        { common->header_demands.digest, "header-digest", "NAME=IMAGE,header-digest=..." },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        *instead = rows[i].instead;
        if (rows[i].given != NULL)
            return rows[i].name;
    }
    return NULL;
}

/* IMAGE or --export, and what belongs to only one of them. */
static int check_operands(const struct serve_options *options, int count, char **operands,
                          struct error *err)
{
    bool several = options->export_texts.count > 0 || options->config != NULL;
    const char *one, *instead;

    if (options->retry_exports_given && (!several || options->strict))
        return error_set(
            err, -EINVAL,
            several ? "--strict and --retry-exports can't both be used: leave out one of the two"
                    : "--retry-exports is for exports of --export: write --export NAME=IMAGE");
    if (count == 0 && !several)
        return error_set(err, -EINVAL,
                         "there is no IMAGE: name the file to serve, or use "
                         "--export NAME=IMAGE");
    if (count > 0 && several)
        return error_set(err, -EINVAL,
                         "'%s' and --%s can't be used together: write --export "
                         "NAME=%s",
                         operands[0], options->config != NULL ? "config" : "export", operands[0]);
    if (count > 1)
        return error_set(err, -EINVAL,
                         "there are %d images ('%s', '%s'): write --export "
                         "NAME=IMAGE for each",
                         count, operands[0], operands[1]);
    one = given_for_one(&options->common, &instead);
    if (several && one != NULL)
        return error_set(err, -EINVAL, "--%s is for a single IMAGE: with --export, write %s", one,
                         instead);
    int result = export_options_check_flags(&options->common, "--", err);
    if (result == 0)
        result = key_source_check(&options->common.key, "--", err);
    return result != 0 ? result : header_demands_check(&options->common.header_demands, err);
}

/* ---- groups of limits ---- */

static int parse_groups(struct serve_options *options, struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < options->limit_texts.count && result == 0; i++) {
        options->limit_copies[i] = strdup(options->limit_texts.items[i]);
        if (options->limit_copies[i] == NULL)
            return no_memory(err);
        result = limit_options_parse(&options->limit_groups[i], options->limit_copies[i], err);
        options->limit_group_count = i + 1;
    }
    return result;
}

/* Those of files differ among themselves. */
static int check_groups_differ(const struct serve_options *options, struct error *err)
{
    for (size_t i = 0; i < options->limit_group_count; i++) {
        const char *name = options->limit_groups[i].name;

        if (limit_options_named(options, name) != &options->limit_groups[i])
            return error_set(err, -EINVAL,
                             "limits '%.*s' are there twice: leave out one of the two",
                             export_options_shown(strlen(name)), name);
    }
    return 0;
}

static int fill_groups(struct serve_options *options, struct error *err)
{
    size_t line = options->limit_texts.count;
    size_t room = line + serve_config_group_count(options) + 1;

    options->limit_groups = calloc(room, sizeof *options->limit_groups);
    options->limit_copies = calloc(room, sizeof *options->limit_copies);
    if (options->limit_groups == NULL || options->limit_copies == NULL)
        return no_memory(err);
    int result = parse_groups(options, err);
    if (result == 0)
        result = serve_config_groups(options, line, err);
    return result == 0
               ? serve_config_note(options, check_groups_differ(options, err), "limits", err)
               : result;
}

static int check_group_names(struct serve_options *options, struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < options->export_count && result == 0; i++) {
        const struct export_settings *settings = &options->exports[i];

        result = limit_options_find(options, settings->limit_group, err);
        if (result != 0)
            error_prefix(err, "export '%.*s': limit-group: ",
                         export_options_shown(strlen(settings->name)), settings->name);
        result = serve_config_note_export(options, result, i, err);
    }
    return result;
}

/* ---- all exports ---- */

/* Two exports do not go together: the message has both places. */
static int note_pair(struct serve_options *options, int result, size_t culprit, size_t other,
                     struct error *err)
{
    if (options->config != NULL)
        serve_config_add_place(options, other, err);
    return serve_config_note_export(options, result, culprit, err);
}

static int check_exports(struct serve_options *options, struct error *err)
{
    size_t culprit, other;
    int result = export_options_check_together(options->exports, options->export_count, &culprit,
                                               &other, err);

    if (result < 0 && result != -ENOMEM)
        result = note_pair(options, result, culprit, other, err);
    if (result == 0)
        result = check_tls_only(options, err);
    if (result == 0)
        result = check_group_names(options, err);
    if (result == 0 && options->export_count == 0 && !options->may_be_empty &&
        config_problems_count(&options->files.problems) == 0)
        result = serve_config_note(options,
                                   error_set(err, -EINVAL,
                                             "there is no export: write [export NAME] with image = "
                                             "IMAGE, or may-be-empty = yes below [server]"),
                                   NULL, err);
    return result;
}

static int fill_exports(struct serve_options *options, int count, char **operands,
                        struct error *err)
{
    size_t several = options->export_texts.count;
    bool single = several == 0 && options->config == NULL;
    int result = check_operands(options, count, operands, err);

    if (result != 0)
        return result;
    options->export_count = single ? 1 : several;
    size_t room = options->export_count + serve_config_export_count(options) + 1;
    options->exports = calloc(room, sizeof *options->exports);
    options->texts = calloc(room, sizeof *options->texts);
    options->export_places = calloc(room, sizeof *options->export_places);
    if (options->exports == NULL || options->texts == NULL || options->export_places == NULL)
        return no_memory(err);
    if (single)
        result = parse_single_export(options, operands[0], err);
    else
        result = parse_exports(options, err);
    if (result == 0)
        result = serve_config_exports(options, several, err);
    if (result == 0)
        result = check_exports(options, err);
    if (result == 0 && several && options->config == NULL &&
        key_source_given(&options->common.key) != NULL && !key_is_used(options))
        return error_set(err, -EINVAL, "--%s is used by no export: leave it out",
                         key_source_given(&options->common.key));
    return result;
}

/* ---- who may attach ---- */

/* The rules of an export are its own ones, or those that are given once for all: never both, so
 * that one place tells who gets in. */
static int fill_access(struct export_settings *settings, const struct param_list *common,
                       struct error *err)
{
    bool own = settings->allow.count > 0;
    const struct param_list *rules = own ? &settings->allow : common;
    int result = access_create(&settings->access, rules->items, rules->count, err);

    if (result != 0 && own)
        error_prefix(err, "export '%.*s': allow=", export_options_shown(strlen(settings->name)),
                     settings->name);
    else if (result != 0)
        error_prefix(err, "--allow ");
    return result;
}

static int fill_accesses(struct serve_options *options, struct error *err)
{
    size_t own = 0;

    for (size_t i = 0; i < options->export_count; i++) {
        int result = fill_access(&options->exports[i], &options->common.allow, err);

        if (result != 0)
            result = serve_config_note_export(options, result, i, err);
        if (result != 0)
            return result;
        own += options->exports[i].allow.count > 0;
    }
    if (options->common.allow.count > 0 && own == options->export_count && options->config == NULL)
        return error_set(err, -EINVAL,
                         "--allow is used by no export, for each has an allow= of its "
                         "own: leave it out, or add the rule there");
    return 0;
}

/* ---- addresses ---- */

static int check_addresses_differ(const struct serve_options *options, struct error *err)
{
    for (size_t i = 0; i < options->address_count; i++) {
        const struct listen_address *address = &options->addresses[i];

        for (size_t k = 0; k < i; k++) {
            if (listen_address_is_taken(&options->addresses[k], address))
                return error_set(err, -EINVAL, "the address '%s' is given twice", address->text);
        }
    }
    return 0;
}

static int unix_permissions(struct unix_permissions *out, const struct serve_options *options,
                            struct error *err)
{
    int result = 0;

    if (options->unix_paths.count == 0 && (options->unix_mode != NULL || options->unix_group))
        return error_set(err, -EINVAL, "--unix-%s is for the sockets of --unix, and there are none",
                         options->unix_mode != NULL ? "mode" : "group");
    if (options->unix_mode)
        result = unix_permissions_parse_mode(out, "unix-mode", options->unix_mode, err);
    if (result == 0 && options->unix_group != NULL)
        result = unix_permissions_parse_group(out, "unix-group", options->unix_group, err);
    return result;
}

static int fill_addresses(struct serve_options *options, struct error *err)
{
    size_t local = options->unix_paths.count, tcp = options->listen_texts.count;
    struct unix_permissions permissions = { 0 };
    int result = unix_permissions(&permissions, options, err);

    if (result != 0)
        return result;

    options->addresses = calloc(local + tcp + 2, sizeof *options->addresses);
    if (options->addresses == NULL)
        return no_memory(err);
    for (size_t i = 0; i < local && result == 0; i++) {
        struct listen_address *address = &options->addresses[options->address_count++];

        result = listen_address_parse_unix(address, options->unix_paths.items[i], err);
        address->permissions = permissions;
    }
    for (size_t i = 0; i < tcp && result == 0; i++)
        result = listen_address_parse_tcp(&options->addresses[options->address_count++],
                                          options->listen_texts.items[i], err);
    if (result == 0 && options->port != PORT_NOT_GIVEN) {
        (void)snprintf(options->port_text, sizeof options->port_text, LOOPBACK ":%u",
                       options->port);
        result = listen_address_parse_tcp(&options->addresses[options->address_count++],
                                          options->port_text, err);
    }
    if (result == 0 && options->address_count == 0) {
        options->address_is_default = true;
        result = listen_address_parse_tcp(&options->addresses[options->address_count++],
                                          ADDRESS_DEFAULT, err);
    }
    return result == 0 ? check_addresses_differ(options, err) : result;
}

/* ---- configuration files ---- */

/* What is there when nobody has said anything. */
static struct serve_options usual_options(void)
{
    return (struct serve_options){
        .max_connections = MAX_CONNECTIONS_DEFAULT,
        .handshake_timeout_seconds = HANDSHAKE_TIMEOUT_SECONDS_DEFAULT,
        .stall_timeout_seconds = STALL_TIMEOUT_SECONDS_DEFAULT,
        .shutdown_timeout_seconds = SHUTDOWN_TIMEOUT_SECONDS_DEFAULT,
        .open_timeout_seconds = OPEN_TIMEOUT_SECONDS_DEFAULT,
        .busy_wait_us = BUSY_WAIT_US_DEFAULT,
        .report = { .keep = REPORT_KEEP_DEFAULT,
                    .stall_seconds = STALL_REPORT_SECONDS_DEFAULT,
                    .hung_seconds = HUNG_REQUEST_SECONDS_DEFAULT },
        .retry_exports_seconds = RETRY_EXPORTS_NOT_GIVEN,
        .port = PORT_NOT_GIVEN,
        .metrics.exports_max = METRICS_EXPORTS_MAX_DEFAULT,
    };
}

/* What the command line says in `line` is not to be added to, or to contradict, what files say. */
static void make_room_for_line(struct serve_options *out, const struct serve_options *line)
{
    for (const struct param *row = serve_params; row->name; row++) {
        const struct param_list *given = (const void *)((const char *)line + row->offset);

        if (row->type == PARAM_LIST && given->count > 0)
            params_reset(out, row, line);
    }
    if (line->port != PORT_NOT_GIVEN)
        out->listen_texts.count = 0;
    if (key_source_given(&line->common.key))
        out->common.key = (struct key_source){ 0 };
    if (line->common.discard || line->common.no_discard)
        out->common.discard = out->common.no_discard = false;
    if (line->tls.verify_peer || line->tls.no_verify_peer)
        out->tls.verify_peer = out->tls.no_verify_peer = false;
}

/* Reads the files, and over them the command line once more. */
static int parse_over_files(struct serve_options *out, int argc, char **argv, bool any_owner,
                            struct error *err)
{
    struct serve_options line = *out;
    int first_operand, result;

    *out = usual_options();
    out->config = line.config;
    out->for_others = any_owner;
    out->config_dirs = line.config_dirs;
    line.config_dirs = (struct param_list){ 0 };
    result = serve_config_read(out, any_owner, err);
    if (result == 0) {
        make_room_for_line(out, &line);
        out->config_dirs.count = 0;
        result = params_parse_argv(out, serve_params, argc, argv, &first_operand, err);
    }
    params_free(&line, serve_params);
    return result;
}

/* ---- all of it ---- */

static int check_texts(struct serve_options *out, struct error *err)
{
    int result;

    out->retry_exports_given = out->retry_exports_seconds != RETRY_EXPORTS_NOT_GIVEN;
    if (!out->retry_exports_given)
        out->retry_exports_seconds = RETRY_EXPORTS_SECONDS_DEFAULT;
    if (out->run != NULL && !*out->run)
        return error_set(err, -EINVAL, "--run: the command is empty");
    if (out->log_level != NULL && !log_level_of(&(enum log_level){ LOG_ERROR }, out->log_level))
        return error_set(err, -EINVAL,
                         "--log-level %s: it is error, warning, notice, info or debug",
                         out->log_level);
    result = tls_mode_of(&out->tls_mode, &out->tls, err);
    if (result == 0)
        result = tls_ktls_mode_of(&(enum ktls_mode){ KTLS_AUTO }, &out->tls, err);
    return serve_config_note(out, result, "tls", err);
}

/* "all" and "none" say it all. */
static int check_report(const struct report_options *options, struct error *err)
{
    const struct param_list *which = &options->metadata;

    for (size_t i = 0; i < which->count && which->count > 1; i++)
        if (strcmp(which->items[i], "all") == 0 || strcmp(which->items[i], "none") == 0)
            return error_set(err, -EINVAL,
                             "--report-metadata %s goes with no other --report-metadata",
                             which->items[i]);
    return 0;
}

static int check_audit(const struct serve_options *options, struct error *err)
{
    return !options->audit_required || options->audit_file != NULL
               ? 0
               : error_set(err, -EINVAL, "--audit-required goes with --audit-file FILE");
}

static int parse(struct serve_options *out, int argc, char **argv, bool any_owner,
                 struct error *err)
{
    int first_operand, result;

    *out = usual_options();
    result = params_parse_argv(out, serve_params, argc, argv, &first_operand, err);
    if (result != 0 || out->help)
        return result;
    if (out->config_dirs.count > 0 && out->config == NULL)
        return error_set(err, -EINVAL, "--config-dir goes with --config FILE");
    if (out->config != NULL)
        result = parse_over_files(out, argc, argv, any_owner, err);
    if (result == 0)
        result = check_texts(out, err);
    if (result == 0)
        result = serve_config_note(out, control_options_check(&out->control, err), "control", err);
    if (result == 0 && out->user_text != NULL)
        result = serve_config_note(out, user_parse(&out->user, out->user_text, err), "server", err);
    if (result == 0)
        result = serve_config_note(out, metrics_options_check(&out->metrics, &out->tls, err),
                                   "metrics", err);
    if (result == 0)
        result = serve_config_note(out, check_report(&out->report, err), "report", err);
    if (result == 0)
        result = serve_config_note(out, check_audit(out, err), "audit", err);
    if (result == 0)
        result = serve_config_note(out, sandbox_options_check(&out->sandbox, err), "sandbox", err);
    if (result == 0)
        result = fill_groups(out, err);
    if (result == 0)
        result = fill_exports(out, argc - first_operand, argv + first_operand, err);
    if (result == 0)
        result = fill_accesses(out, err);
    if (result == 0)
        result = serve_config_note(out, fill_addresses(out, err), "server", err);
    config_problems_sort(&out->files.problems);
    if (result == 0 && config_problems_count(&out->files.problems) > 0)
        result =
            error_set(err, -EINVAL, "%s: %zu %s wrong in the configuration", out->config,
                      config_problems_count(&out->files.problems),
                      config_problems_count(&out->files.problems) == 1 ? "thing is" : "things are");
    return result;
}

int serve_options_parse(struct serve_options *out, int argc, char **argv, struct error *err)
{
    return parse(out, argc, argv, false, err);
}

int serve_options_parse_for_others(struct serve_options *out, int argc, char **argv,
                                   struct error *err)
{
    return parse(out, argc, argv, true, err);
}

bool serve_options_are_strict(const struct serve_options *options)
{
    if (options->strict || options->config != NULL)
        return options->strict;
    return options->export_texts.count == 0 ||
           (options->export_texts.count == 1 &&
            !(options->retry_exports_given && options->retry_exports_seconds > 0));
}

void serve_options_free(struct serve_options *options)
{
    for (size_t i = 0; options->exports != NULL && options->texts && i < options->export_count;
         i++) {
        free(options->texts[i]);
        access_free(options->exports[i].access);
        export_metadata_free(&options->exports[i].metadata);
        params_free(&options->exports[i], export_params);
    }
    for (size_t i = 0; options->limit_copies != NULL && i < options->limit_texts.count; i++)
        free(options->limit_copies[i]);
    free(options->limit_copies);
    free(options->limit_groups);
    free(options->texts);
    free(options->exports);
    free(options->addresses);
    free(options->export_places);
    config_file_free(&options->files);
    params_free(options, serve_params);
    *options = (struct serve_options){ 0 };
}

void serve_options_print_help(FILE *out)
{
    fprintf(out, "Serves encrypted disks as network block devices (NBD).\n"
                 "\n"
                 "Usage: nbdcrypt serve [OPTIONS] IMAGE\n"
                 "       nbdcrypt serve [OPTIONS] --export NAME=IMAGE[,...] ...\n"
                 "       nbdcrypt serve [OPTIONS] --config FILE\n"
                 "\n"
                 "IMAGE is a path, memory:SIZE, nbd://HOST/NAME, rbd:POOL/IMAGE, nbdkit:PLUGIN\n"
                 "and others; nbdcrypt(1) describes them.\n");
    params_print_help(out, serve_params);
    fprintf(out, "\n"
                 "With --export, the options --key-file, --raw, --read-only, --discard,\n"
                 "--no-discard, --zero-holes, --direct, --force-in-use, --no-lock and --tls-only\n"
                 "apply to every export, and --allow to those without an allow=.\n"
                 "\n"
                 "Examples:\n"
                 "  nbdcrypt serve --key-file key --unix nbd.sock disk.luks\n"
                 "  nbdcrypt serve --listen [::]:10809 \\\n"
                 "      --export db=/srv/db.luks,key-file=/etc/nbdcrypt/db.key \\\n"
                 "      --export logs=/srv/logs.luks,key-file=/etc/nbdcrypt/logs.key,read-only\n"
                 "  nbdcrypt serve --key-file key --unix nbd.sock --allow uid:qemu disk.luks\n"
                 "  nbdcrypt serve --key-file key --run 'nbdinfo \"$uri\"' disk.luks\n");
}
