#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/access/access.h"
#include "server/audit/audit.h"
#include "server/base/secret-text.h"
#include "server/control/control-groups.h"
#include "server/control/control-internal.h"
#include "server/control/control-level.h"
#include "server/sandbox/sandbox.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

/* ---- the server ---- */

static struct json_object *addresses(const struct control_host *host)
{
    struct json_object *list = json_object_new_array();
    char *address;

    for (size_t i = 0; (address = host->address(host->context, i)) != NULL; i++) {
        control_append(list, varlink_text(address));
        free(address);
    }
    return list;
}

/* Both as of one moment. */
static void add_exports(struct json_object *to, const struct control_host *host)
{
    const struct export_set *set = host->lock(host->context);
    uint64_t count = set->count, open = 0;

    for (size_t i = 0; i < set->count; i++)
        open += export_is_open(set->exports[i]);
    host->unlock(host->context);
    control_add_number(to, "exports", count);
    control_add_number(to, "exports_open", open);
}

static struct json_object *view_sandbox(void)
{
    struct json_object *json = json_object_new_object();
    struct sandbox_report report;
    char text[SANDBOX_TEXT_BYTES];

    sandbox_describe(&report);
    sandbox_text(text, &report);
    control_add_text(json, "mode", sandbox_mode_name(report.mode));
    control_add_text(json, "text", text);
    control_add_flag(json, "no_new_privs", report.no_new_privs);
    control_add_number(json, "landlock", (uint64_t)report.landlock);
    control_add_flag(json, "files", report.reach == SANDBOX_REACH_PATHS);
    control_add_text(json, "writes", sandbox_writes_name(report.reach));
    control_add_flag(json, "ports", report.ports);
    control_add_flag(json, "system_calls", report.calls);
    control_add_flag(json, "programs", report.programs);
    control_add_flag(json, "rings", report.rings);
    control_add_number(json, "violations", report.violations);
    control_add_text(json, "lacks", report.lacks);
    return json;
}

static struct json_object *view_audit(void)
{
    struct json_object *json;
    struct audit_state state;

    audit_describe(&state);
    if (state.path == NULL)
        return NULL;
    json = json_object_new_object();
    control_add_text(json, "path", state.path);
    control_add_number(json, "records", state.records);
    control_add_number(json, "lost", state.lost);
    control_add_number(json, "doubtful", state.doubtful);
    control_add_flag(json, "failing", state.failing);
    return json;
}

struct json_object *control_view_status(struct control_client *client)
{
    struct control *control = client->control;
    const struct control_host *host = &control->host;
    struct json_object *json = json_object_new_object();

    control_add_text(json, "version", PACKAGE_VERSION);
    control_add_number(json, "pid", (uint64_t)getpid());
    control_add_text(json, "state", control->ending ? "ending" : "serving");
    control_add_time(json, "since", &control->since);
    control_add_number(json, "revision", atomic_load(&control->revision));
    control_add_text(json, "role", control_role_name(client->role));
    control_level_describe(json, control);
    control_add_number(json, "threads", host->threads);
    control_add_text(json, "tls", host->tls);
    control_add(json, "addresses", addresses(host));
    add_exports(json, host);
    control_add_number(json, "limit_groups", limit_groups_configured());
    control_add_number(json, "clients", atomic_load(&host->places->attached));
    control_add_number(json, "clients_max", host->places->attached_max);
    control_add_number(json, "handshakes", atomic_load(&host->places->handshakes));
    control_add(json, "sandbox", view_sandbox());
    control_add(json, "audit", view_audit());
    return json;
}

/* ---- exports ---- */

/* Who somebody is at another server is not told either. */
static char *without_user(const char *image)
{
    const char *scheme = strstr(image, "://");
    const char *user = scheme != NULL ? scheme + 3 : NULL;
    const char *at = user != NULL ? memchr(user, '@', strcspn(user, "/?")) : NULL;
    char *text = NULL;

    if (at == NULL || at == user)
        return strdup(image);
    return asprintf(&text, "%.*s***%s", (int)(user - image), image, at) < 0 ? NULL : text;
}

char *control_mask_image(const char *image)
{
    char *text = without_user(image);
    size_t room_bytes = text != NULL ? 3 * strlen(text) + 8 : 0;
    char *masked = text != NULL ? malloc(room_bytes) : NULL;

    if (masked != NULL)
        secret_text_mask(masked, room_bytes, text);
    free(text);
    return masked;
}

static struct json_object *namespaces(const struct export_metadata *metadata)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < metadata->count; i++)
        control_append(list, varlink_text(metadata->items[i].name_space));
    return list;
}

static struct json_object *rules(const struct access *access)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < access_rule_count(access); i++)
        control_append(list, varlink_text(access_rule_text(access, i)));
    return list;
}

static struct json_object *view_luks(const struct export_luks *luks)
{
    struct json_object *json = json_object_new_object();

    control_add_number(json, "version", luks->version);
    control_add_text(json, "uuid", luks->uuid);
    control_add_text(json, "cipher", luks->cipher);
    control_add_number(json, "key_bits", luks->key_bits);
    control_add_number(json, "sector_bytes", luks->sector_bytes);
    return json;
}

/* What is known since it was opened. */
static void add_opened(struct json_object *json, const struct export *ex)
{
    control_add_number(json, "size_bytes", limits_size_bytes(&ex->limits));
    control_add_text(json, "backend", stage_backend(ex->top)->ops->name);
    if (ex->luks.version > 0)
        control_add(json, "luks", view_luks(&ex->luks));
}

/* As options of --export. */
struct json_object *control_view_limits(const struct export *ex)
{
    struct json_object *limits = control_view_terms(&ex->rates.terms);
    const struct limit_set *group = atomic_load(&ex->group);

    if (group != NULL)
        control_add_text(limits, "limit-group", limit_group_name(group));
    if (export_weight(ex) != EXPORT_WEIGHT_USUAL) {
        char text[16];

        (void)snprintf(text, sizeof text, "%u", export_weight(ex));
        control_add_text(limits, "weight", text);
    }
    return limits;
}

struct json_object *control_view_export(struct control *control, const struct export *ex)
{
    const struct export_settings *settings = ex->settings;
    struct json_object *json = json_object_new_object();
    char *image = control_mask_image(settings->image);
    bool open = export_is_open(ex);

    control_add_text(json, "name", ex->name);
    control_add_number(json, "id", ex->id);
    control_add_text(json, "state",
                     !open                         ? "missing"
                     : atomic_load(&ex->suspended) ? "suspended"
                                                   : "serving");
    control_add_text(json, "image", image != NULL ? image : "");
    if (ex->description != NULL)
        control_add_text(json, "description", ex->description);
    if (open)
        add_opened(json, ex);
    control_add_flag(json, "encrypted", !settings->raw);
    control_add_flag(json, "read_only", open ? ex->limits.read_only : settings->options.read_only);
    control_add_flag(json, "tls_only", ex->tls_only);
    if (!settings->raw && key_source_given(&settings->key) != NULL)
        control_add_text(json, "key_source", key_source_given(&settings->key));
    control_add(json, "allow", rules(ex->access));
    control_add_number(json, "clients", board_export_connections(control->host.board, ex->place));
    control_add(json, "limits", control_view_limits(ex));
    control_add(json, "metadata", namespaces(&settings->metadata));
    free(image);
    return json;
}
