#include "server/cli/ctl-complete.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/completion.h"
#include "server/control/control-client.h"
#include "server/control/control-json.h"

#define TIMEOUT_MS 500 /* somebody has pressed a key */
#define OFFERS_MAX 1000

/* ---- the server ---- */

/* The value of --socket among the words; NULL: there is none. */
static const char *socket_of(const struct typing *typing)
{
    static const char option[] = "--socket";
    const char *found = NULL;

    for (int i = 0; i < typing->word_count; i++) {
        const char *word = typing->words[i];

        if (strcmp(word, option) == 0 && i + 1 < typing->word_count)
            found = typing->words[i + 1];
        else if (strncmp(word, option, strlen(option)) == 0 && word[strlen(option)] == '=')
            found = word + strlen(option) + 1;
    }
    return found;
}

typedef void take_fn(FILE *out, struct json_object *parameters, const struct typing *typing);

/* Every reply is for `take`; where something goes wrong there is nothing to offer. */
static void ask(FILE *out, const char *method, struct json_object *parameters, bool more,
                const struct typing *typing, take_fn *take)
{
    struct control_link link;
    struct error ignored;
    bool last = false;

    if (control_link_open(&link, socket_of(typing), TIMEOUT_MS, &ignored) < 0) {
        json_object_put(parameters);
        return;
    }
    last = control_link_send(&link, method, parameters, more, -1, &ignored) < 0;
    for (int i = 0; i < OFFERS_MAX && !last; i++) {
        struct json_object *reply = NULL;

        if (control_link_receive(&link, &reply, &ignored) < 0)
            break;
        last = !control_flag(reply, "continues");
        take(out, control_member(reply, "parameters"), typing);
        json_object_put(reply);
    }
    control_link_close(&link);
}

/* A word is a line. */
static void offer(FILE *out, const char *word, const char *help, const struct typing *typing)
{
    const char *at = word;

    while (*at != '\0' && !iscntrl((unsigned char)*at))
        at++;
    if (*at == '\0' && *word != '\0')
        completion_offer(out, word, help, typing->typed);
}

/* ---- what it has ---- */

static void take_export(FILE *out, struct json_object *parameters, const struct typing *typing)
{
    struct json_object *export = control_member(parameters, "export");
    const char *name = control_text(export, "name"), *state = control_text(export, "state");

    if (name != NULL)
        offer(out, name, state != NULL ? state : "", typing);
}

static void take_groups(FILE *out, struct json_object *parameters, const struct typing *typing)
{
    struct json_object *list = control_member(parameters, "groups");

    for (size_t i = 0; list != NULL && i < json_object_array_length(list); i++) {
        const char *name = control_text(json_object_array_get_idx(list, i), "name");

        if (name != NULL)
            offer(out, name, "", typing);
    }
}

static void take_client(FILE *out, struct json_object *parameters, const struct typing *typing)
{
    struct json_object *client = control_member(parameters, "client");
    const char *peer = control_text(client, "peer");
    char id[24];

    if (client == NULL)
        return;
    snprintf(id, sizeof id, "%lld", (long long)control_number(client, "id", 0));
    offer(out, id, peer != NULL ? peer : "", typing);
}

static void take_namespaces(FILE *out, struct json_object *parameters, const struct typing *typing)
{
    struct json_object *list = control_member(control_member(parameters, "export"), "metadata");

    for (size_t i = 0; list != NULL && i < json_object_array_length(list); i++)
        offer(out, json_object_get_string(json_object_array_get_idx(list, i)), "", typing);
}

/* Those of nbdcrypt-ctl(1), and what they begin with. */
static const char *const event_types[] = {
    "client",
    "client.attached",
    "client.detached",
    "client.denied",
    "export",
    "export.added",
    "export.removed",
    "export.changed",
    "export.suspended",
    "export.resumed",
    "export.grown",
    "key",
    "key.used",
    "key.changed",
    "key.failed",
    "reload",
    "reload.done",
    "reload.failed",
    "tls",
    "tls.renewed",
    "tls.expiring",
    "limit",
    "limit.reached",
    "backend",
    "backend.down",
    "backend.up",
    "report",
    "report.written",
    "slow-request",
    "hung-request",
};
#define EVENT_TYPES (sizeof event_types / sizeof event_types[0])

bool ctl_type_is_known(const char *type)
{
    for (size_t i = 0; i < EVENT_TYPES; i++)
        if (strcmp(event_types[i], type) == 0)
            return true;
    return false;
}

int ctl_type_tell(const char *type, struct error *err)
{
    char list[512];
    size_t used = 0;

    for (size_t i = 0; i < EVENT_TYPES && used < sizeof list; i++)
        if (strchr(event_types[i], '.') != NULL)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "",
                                     event_types[i]);
    return error_set(err, -EINVAL,
                     "--type '%.80s': there are no such events: they are %s, and those that begin "
                     "with one word of these, such as client",
                     type, list);
}

static void offer_types(FILE *out, const struct typing *typing)
{
    for (size_t i = 0; i < EVENT_TYPES; i++)
        offer(out, event_types[i], "", typing);
}

static bool begins(const char *name, const char *word)
{
    return strncmp(name, word, strlen(word)) == 0 && !isupper((unsigned char)name[strlen(word)]);
}

bool ctl_complete(FILE *out, const char *name, const struct typing *typing, int export_operand)
{
    const char *export =
        export_operand < typing->operand_count ? typing->operands[export_operand] : NULL;

    if (begins(name, "NAMESPACE") && export != NULL)
        ask(out, "ListExports", control_with("name", json_object_new_string(export)), false, typing,
            take_namespaces);
    else if (begins(name, "NAME"))
        ask(out, "ListExports", NULL, true, typing, take_export);
    else if (begins(name, "GROUP"))
        ask(out, "ListGroups", NULL, false, typing, take_groups);
    else if (begins(name, "ID"))
        ask(out, "ListClients", NULL, true, typing, take_client);
    else if (begins(name, "TYPE"))
        offer_types(out, typing);
    else
        return false;
    return true;
}
