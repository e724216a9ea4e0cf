#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server/base/event.h"
#include "server/control/control-board.h"
#include "server/control/control-groups.h"
#include "server/control/control-interface.h"
#include "server/control/control-internal.h"
#include "server/control/control-level.h"
#include "server/control/control-metadata.h"
#include "server/control/control-metrics.h"
#include "server/control/control-report.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif
#define URL "https://github.com/nbdcrypt/nbdcrypt"

/* ---- org.varlink.service ---- */

static void get_info(struct control_client *client)
{
    struct json_object *reply = json_object_new_object(), *names = json_object_new_array();

    control_append(names, varlink_text("org.varlink.service"));
    control_append(names, varlink_text("org.nbdcrypt"));
    control_add_text(reply, "vendor", "nbdcrypt");
    control_add_text(reply, "product", "nbdcrypt");
    control_add_text(reply, "version", PACKAGE_VERSION);
    control_add_text(reply, "url", URL);
    control_add(reply, "interfaces", names);
    varlink_reply(&client->varlink, reply, false);
}

static void get_interface_description(struct control_client *client)
{
    const char *name = control_text(client->varlink.call.parameters, "interface");
    const char *text = control_interface_text(name);

    if (text == NULL)
        control_error(client, VARLINK_INTERFACE_NOT_FOUND, "interface", name);
    else /* as it is: it has lines */
        varlink_reply(&client->varlink, control_with("description", json_object_new_string(text)),
                      false);
}

/* ---- looks ---- */

static void status(struct control_client *client)
{
    varlink_reply(&client->varlink, control_with("status", control_view_status(client)), false);
}

/* The export of exactly that name; NULL: there is none. */
static const struct export *find_export(const struct export_set *set, const char *name)
{
    const struct export *found = export_set_named(set, name, strlen(name));

    return found != NULL && strcmp(found->name, name) == 0 ? found : NULL;
}

static bool next_export(struct control_client *client, struct json_object **out)
{
    const struct control_host *host = &client->control->host;
    const struct export_set *set = host->lock(host->context);
    size_t place = export_set_behind(set, client->id);
    bool more = place < set->count;

    if (more) {
        client->id = set->exports[place]->id;
        *out = control_with("export", control_view_export(client->control, set->exports[place]));
    }
    host->unlock(host->context);
    return more;
}

/* All that is known of one; NULL: there is none of that name. */
static struct json_object *view_named(struct control *control, const char *name)
{
    const struct control_host *host = &control->host;
    const struct export *ex = find_export(host->lock(host->context), name);
    struct json_object *reply = NULL;

    if (ex != NULL) {
        struct json_object *view = control_view_export(control, ex);

        control_board_add_flight(view, host, ex);
        reply = control_with("export", view);
        control_add(reply, "figures", control_board_figures(host, ex));
    }
    host->unlock(host->context);
    return reply;
}

static void list_exports(struct control_client *client)
{
    const char *name = control_text(client->varlink.call.parameters, "name");
    struct json_object *reply = name != NULL ? view_named(client->control, name) : NULL;

    if (name == NULL && !client->varlink.call.more)
        varlink_error(&client->varlink, VARLINK_EXPECTED_MORE, NULL);
    else if (name == NULL)
        control_stream(client);
    else if (reply == NULL)
        control_error(client, CONTROL_NO_SUCH_EXPORT, "name", name);
    else
        varlink_reply(&client->varlink, reply, false);
}

/* ---- images that have grown ---- */

/* What they were before. */
struct sizes {
    size_t count;
    struct size {
        uint64_t id, bytes;
    } of[];
};

/* Of all that are open, or of that name alone; NULL: there is none of that name, or no memory. */
static struct sizes *note_sizes(const struct export_set *set, const char *name)
{
    bool any = name == NULL || find_export(set, name) != NULL;
    struct sizes *sizes = any ? malloc(sizeof *sizes + set->count * sizeof sizes->of[0]) : NULL;

    if (sizes == NULL)
        return NULL;
    sizes->count = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct export *ex = set->exports[i];

        if ((name == NULL || strcmp(ex->name, name) == 0) && export_is_open(ex))
            sizes->of[sizes->count++] = (struct size){ ex->id, ex->limits.size_bytes };
    }
    return sizes;
}

static void add_if_grown(struct json_object *to, const struct export *ex, const struct size *before)
{
    struct json_object *one;

    if (ex->id != before->id || ex->limits.size_bytes == before->bytes)
        return;
    one = json_object_new_object();
    control_add_text(one, "name", ex->name);
    control_add_number(one, "before_bytes", before->bytes);
    control_add_number(one, "size_bytes", ex->limits.size_bytes);
    control_append(to, one);
}

static void rescanned(struct control_client *client)
{
    const struct control_host *host = &client->control->host;
    const struct sizes *sizes = client->data;
    struct json_object *grown = json_object_new_array();
    const struct export_set *set = host->lock(host->context);

    for (size_t i = 0; i < sizes->count; i++) {
        size_t place = export_set_behind(set, sizes->of[i].id - 1);

        if (place < set->count)
            add_if_grown(grown, set->exports[place], &sizes->of[i]);
    }
    host->unlock(host->context);
    control_changed(client, control_with("grown", grown));
}

static void rescan(struct control_client *client)
{
    const char *name = control_text(client->varlink.call.parameters, "name");
    const struct control_host *host = &client->control->host;

    client->data = note_sizes(host->lock(host->context), name);
    host->unlock(host->context);
    if (client->data == NULL) {
        control_error(client, CONTROL_NO_SUCH_EXPORT, "name", name != NULL ? name : "");
        return;
    }
    control_wait_for(client, rescanned);
    host->rescan(host->context, &client->job.offload.done);
}

/* ---- the configuration ---- */

struct reload_call {
    bool dry_run;
    size_t count;
    const char *replace[]; /* the texts are behind them */
};

static void add_change(void *context, struct json_object *change)
{
    control_append(context, change);
}

static int reload_work(struct control_client *client, struct json_object *reply, struct error *err)
{
    const struct control_host *host = &client->control->host;
    const struct reload_call *call = client->data;
    struct json_object *plan = json_object_new_array();
    struct error refused = { "" };
    struct control_reload reload = { .dry_run = call->dry_run,
                                     .replace = call->replace,
                                     .replace_count = call->count,
                                     .change = add_change,
                                     .context = plan,
                                     .refused = &refused };
    int result = host->reload(host->context, &reload, err);

    control_add(reply, "plan", plan);
    if (refused.text[0] != '\0')
        control_add_text(reply, "refused", refused.text);
    return result;
}

/* Copies what the call names; NULL: one of them is no text, or there is no memory. */
static struct reload_call *copy_names(struct json_object *names)
{
    size_t count = names != NULL ? json_object_array_length(names) : 0, bytes = 0;
    struct reload_call *call;
    char *at;

    for (size_t i = 0; i < count; i++) {
        const char *text = varlink_string(json_object_array_get_idx(names, i));

        if (text == NULL)
            return NULL;
        bytes += strlen(text) + 1;
    }
    call = malloc(sizeof *call + count * sizeof call->replace[0] + bytes);
    if (call == NULL)
        return NULL;
    *call = (struct reload_call){ .count = count };
    at = (char *)&call->replace[count];
    for (size_t i = 0; i < count; i++) {
        call->replace[i] = at;
        at = stpcpy(at, varlink_string(json_object_array_get_idx(names, i))) + 1;
    }
    return call;
}

static void reload(struct control_client *client)
{
    struct json_object *dry_run = control_param(client, "dry_run");
    struct reload_call *call = copy_names(control_param(client, "replace"));

    if (call == NULL) {
        control_refuse(client, "replace");
        return;
    }
    call->dry_run = dry_run != NULL && json_object_get_boolean(dry_run);
    client->data = call;
    control_run_job(client, reload_work);
    client->job.looks = call->dry_run;
}

static void drain(struct control_client *client)
{
    const struct control_host *host = &client->control->host;

    control_changed(client, NULL);
    host->drain(host->context);
}

static void refuse_to_connect(struct control_client *client, const char *name, bool missing)
{
    struct error err;

    if (!missing) {
        control_error(client, CONTROL_NO_SUCH_EXPORT, "name", name);
        return;
    }
    error_set(&err, -ENOENT,
              "export '%.200s' is not served: its image or its key can't be opened, and the log of "
              "the server says why",
              name);
    control_error(client, CONTROL_NOT_POSSIBLE, "reason", err.text);
}

/* A connection to be given away: a client of this server like one that came by a Unix socket, so
 * that --allow holds for the caller. */
static void connect_client(struct control_client *client)
{
    const char *name = control_text(client->varlink.call.parameters, "export");
    const struct control_host *host = &client->control->host;
    const struct export *ex =
        export_set_find(host->lock(host->context), &client->peer, name, strlen(name));
    bool open = ex != NULL && export_is_open(ex);
    struct error err;
    int ends[2];

    host->unlock(host->context);
    if (!open) {
        refuse_to_connect(client, name, ex != NULL);
        return;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        error_set(&err, -errno, "a socket can't be made: %s", strerror(errno));
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", err.text);
        return;
    }
    host->connect(host->context, ends[0], &client->peer);
    varlink_reply_with_fd(&client->varlink, control_with("fd", json_object_new_int(0)), ends[1]);
}

/* ---- the table ---- */

const struct control_method control_methods[] = {
    { .name = "org.varlink.service.GetInfo", .role = CONTROL_NOBODY, .run = get_info },
    { .name = "org.varlink.service.GetInterfaceDescription",
      .role = CONTROL_NOBODY,
      .params = { { "interface", json_type_string, true } },
      .run = get_interface_description },
    { .name = "org.nbdcrypt.Status", .role = CONTROL_VIEW, .run = status },
    { .name = "org.nbdcrypt.ListGroups",
      .role = CONTROL_VIEW,
      .params = { { "name", json_type_string, false } },
      .run = control_list_groups },
    { .name = "org.nbdcrypt.ListExports",
      .role = CONTROL_VIEW,
      .streams = true,
      .params = { { "name", json_type_string, false } },
      .run = list_exports,
      .next = next_export },
    { .name = "org.nbdcrypt.Events",
      .role = CONTROL_VIEW,
      .streams = true,
      .params = { { "type", json_type_string, false } },
      .run = control_follow },
    { .name = "org.nbdcrypt.SetLogLevel",
      .role = CONTROL_OPERATE,
      .changes = true,
      .params = { { "level", json_type_string, true },
                  { "export", json_type_string, false },
                  { "seconds", json_type_int, false } },
      .run = control_level_set },
    { .name = "org.nbdcrypt.Rescan",
      .role = CONTROL_OPERATE,
      .changes = true,
      .params = { { "name", json_type_string, false } },
      .run = rescan },
    { .name = "org.nbdcrypt.ConnectClient",
      .role = CONTROL_ADMIN,
      .params = { { "export", json_type_string, true } },
      .run = connect_client },
    { .name = "org.nbdcrypt.Reload",
      .role = CONTROL_ADMIN,
      .changes = true,
      .params = { { "dry_run", json_type_boolean, false }, { "replace", json_type_array, false } },
      .run = reload },
    { .name = "org.nbdcrypt.Drain", .role = CONTROL_ADMIN, .changes = true, .run = drain },
    { 0 },
};

static const struct control_method *find_in(const struct control_method *table, const char *name)
{
    for (; table->name != NULL; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

const struct control_method *control_method_find(const struct control *control, const char *name)
{
    const struct control_method *found = find_in(control_methods, name);

    if (found == NULL)
        found = find_in(control_metadata_methods, name);
    if (found == NULL)
        found = find_in(control_board_methods, name);
    if (found == NULL)
        found = find_in(control_metrics_methods, name);
    if (found == NULL)
        found = find_in(control_report_methods, name);
    if (found != NULL || control->host.methods == NULL)
        return found;
    return find_in(control->host.methods, name);
}
