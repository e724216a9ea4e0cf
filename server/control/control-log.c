#include "server/control/control-log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/event.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/base/secret-text.h"
#include "server/control/control-internal.h"

#define TEXT_BYTES 1024u /* what is longer is cut, and said to be */
#define REASON_BYTES_MAX 1024u

/* ---- the call, as a line ---- */

struct text {
    char bytes[TEXT_BYTES];
    size_t used;
    bool cut;
};

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *text, const char *format, ...)
{
    static const char mark[] = " ...";
    size_t room = sizeof text->bytes - sizeof mark - text->used;
    va_list args;

    if (text->cut)
        return;
    va_start(args, format);
    int bytes = vsnprintf(text->bytes + text->used, room, format, args);
    va_end(args);
    if (bytes >= 0 && (size_t)bytes < room) {
        text->used += (size_t)bytes;
        return;
    }
    memcpy(text->bytes + text->used, mark, sizeof mark);
    text->cut = true;
}

static void add_list(struct text *text, const char *name, struct json_object *list)
{
    add(text, " %s=", name);
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        const char *one = varlink_string(json_object_array_get_idx(list, i));

        add(text, "%s'%.200s'", i > 0 ? "," : "", one != NULL ? one : "?");
    }
}

/* Their names: a value may be for few eyes, such as the words of a program that gives a key. */
static void add_names(struct text *text, const char *name, struct json_object *object)
{
    const char *before = "";

    add(text, " %s=", name);
    json_object_object_foreach(object, key, value)
    {
        (void)value;
        add(text, "%s%.60s", before, key);
        before = ",";
    }
}

/* How fast clients may be is no secret: what was asked for is there to be read. */
static void add_limits(struct text *text, const char *name, struct json_object *limits)
{
    const char *before = "";

    add(text, " %s=", name);
    json_object_object_foreach(limits, key, value)
    {
        const char *string = varlink_string(value);

        add(text, "%s%.60s=%.60s", before, key, string != NULL ? string : "?");
        before = ",";
    }
}

static void add_image(struct text *text, const char *name, const char *image)
{
    char *masked = control_mask_image(image);

    add(text, " %s='%.300s'", name, masked != NULL ? masked : "?");
    free(masked);
}

static void add_value(struct text *text, const char *name, struct json_object *value)
{
    const char *string = varlink_string(value);
    bool no = json_object_is_type(value, json_type_boolean) && !json_object_get_boolean(value);

    if (no || (json_object_is_type(value, json_type_array) && json_object_array_length(value) == 0))
        return; /* as if it were left out */
    if (string != NULL && strcmp(name, "image") == 0)
        add_image(text, name, string);
    else if (string != NULL)
        add(text, " %s='%.200s'", name, string);
    else if (json_object_is_type(value, json_type_array))
        add_list(text, name, value);
    else if (json_object_is_type(value, json_type_object) && strcmp(name, "limits") == 0)
        add_limits(text, name, value);
    else if (json_object_is_type(value, json_type_object))
        add_names(text, name, value);
    else if (json_object_is_type(value, json_type_boolean))
        add(text, " %s=yes", name);
    else
        add(text, " %s=%" PRId64, name, json_object_get_int64(value));
}

static const char *short_name(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot != NULL ? dot + 1 : name;
}

/* "AddExport name='vm9' image='/srv/vm9' options=key-file".  What an application records is its
 * own affair. */
static void describe(struct text *text, const struct control_client *client)
{
    const struct control_method *method = client->method;

    text->used = 0;
    text->cut = false;
    add(text, "%s", short_name(method->name));
    for (size_t i = 0; i < CONTROL_PARAMS_MAX && method->params[i].name != NULL; i++) {
        const char *name = method->params[i].name;
        struct json_object *value = control_member(client->varlink.call.parameters, name);

        if (value != NULL && strcmp(name, "value") != 0)
            add_value(text, name, value);
    }
}

/* ---- what is written ---- */

static struct log_about about(const struct control_client *client, const char *id)
{
    const char *export = control_text(client->varlink.call.parameters, "export");

    if (export == NULL)
        export = control_text(client->varlink.call.parameters, "name");
    return LOG_ABOUT(.id = id, .peer = client->peer.text, .export = export);
}

/* The same, of which there are so many in a minute. */
static struct log_about about_limited(const struct control_client *client, const char *id)
{
    struct log_about one = about(client, id);

    one.who = one.peer;
    return one;
}

static void audit(const struct control_client *client, const char *type, const char *result,
                  const struct text *what, const char *reason)
{
    const struct log_about named = about(client, NULL);

    EVENT(.type = type, .result = result, .export = named.export, .peer = client->peer.text,
          .local = true, .uid = client->peer.uid, .pid = (uint32_t)client->peer.pid,
          .what = what->bytes, .reason = reason, .audit_only = true);
}

/* Who may do everything is not kept from having it all written down; of others there are so many
 * lines in a minute. */
void control_log_change(const struct control_client *client)
{
    struct text text;

    describe(&text, client);
    audit(client, "control.change", "asked", &text, NULL);
    if (client->role == CONTROL_ADMIN)
        log_write_about(LOG_NOTICE, about(client, LOG_ID_CONTROL_CHANGE), "%s: control: %s",
                        client->peer.text, text.bytes);
    else
        log_write_about(LOG_NOTICE, about_limited(client, LOG_ID_CONTROL_CHANGE), "control: %s",
                        text.bytes);
}

void control_log_refusal(const struct control_client *client)
{
    struct text text;

    describe(&text, client);
    audit(client, "control.denied", "refused", &text, control_role_name(client->role));
    log_write_about(LOG_WARNING, about_limited(client, LOG_ID_CONTROL_DENIED),
                    "control: it may not do %s: that takes the role %s", text.bytes,
                    control_role_name(client->method->role));
}

void control_log_done(const struct control_client *client)
{
    struct text text;

    describe(&text, client);
    audit(client, "control.change", "done", &text, NULL);
}

void control_log_failure(const struct control_client *client, const char *error,
                         struct json_object *parameters)
{
    const char *reason = control_text(parameters, "reason");
    char masked[REASON_BYTES_MAX]; /* it names what was asked for */
    struct text text;

    describe(&text, client);
    if (reason == NULL && parameters != NULL)
        reason = json_object_to_json_string_ext(parameters, JSON_C_TO_STRING_PLAIN);
    if (reason != NULL) {
        secret_text_mask(masked, sizeof masked, reason);
        reason = masked;
    }
    audit(client, "control.change", "failed", &text, reason != NULL ? reason : short_name(error));
    log_write_about(LOG_WARNING, about_limited(client, LOG_ID_CONTROL_FAILED),
                    "control: %s failed: %s: %.400s", text.bytes, short_name(error),
                    reason != NULL ? reason : "");
}
