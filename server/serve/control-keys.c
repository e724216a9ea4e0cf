#include "server/serve/control-keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/serve/control-added.h"
#include "server/serve/exports-keyslots.h"

/* There is one server in a process. */
static struct exports *server_exports;

void control_keys_use(struct exports *exports)
{
    server_exports = exports;
}

/* ---- options: those of nbdcrypt key ---- */

#define SLOT(help) VOLUME_KEYS_SLOT_ROW(struct keyslots_wish, options, help)
#define PRIORITY VOLUME_KEYS_PRIORITY_ROW(struct keyslots_wish, options, "of the new key")
#define PBKDF VOLUME_KEYS_PBKDF_ROWS(struct keyslots_wish, options)

static const struct param add_params[] = {
    SLOT("try only this keyslot with the key that opens the volume"),
    VOLUME_KEYS_NEW_SLOT_ROW(struct keyslots_wish, options),
    PRIORITY,
    PBKDF,
    { .name = NULL },
};

static const struct param change_params[] = {
    SLOT("change the key in this keyslot"),
    PRIORITY,
    PBKDF,
    { .name = NULL },
};

static const struct param remove_params[] = {
    SLOT("remove the key in this keyslot"),
    VOLUME_KEYS_FORCE_ROW(struct keyslots_wish, options),
    { .name = NULL },
};

static const struct verb {
    const struct param *params;
    bool takes_new_key;
} verbs[] = {
    [KEYSLOTS_ADD] = { add_params, true },
    [KEYSLOTS_CHANGE] = { change_params, true },
    [KEYSLOTS_REMOVE] = { remove_params, false },
};

static void refuse_option(struct control_client *client, const struct verb *verb,
                          const char *option, const char *reason)
{
    struct json_object *parameters = json_object_new_object();
    const char *near = params_nearest(verb->params, option);

    control_add_text(parameters, "option", option);
    control_add_text(parameters, "reason", reason);
    if (near != NULL && strcmp(near, option) != 0)
        control_add_text(parameters, "near", near);
    control_fail(client, CONTROL_BAD_OPTION, parameters);
}

/* False: it was refused.  What it sets points into the call. */
static bool set_option(struct control_client *client, struct keyslots_wish *wish, const char *name,
                       struct json_object *value)
{
    const struct verb *verb = &verbs[wish->verb];
    const struct param *param = params_find(verb->params, name);
    const char *text = varlink_string(value);
    struct error err = { "" };

    if (param == NULL)
        error_set(&err, -EINVAL, "there is no such option");
    else if (text == NULL)
        error_set(&err, -EINVAL, "its value is not a text");
    else if (params_set(wish, param, text, &err) == 0)
        return true;
    refuse_option(client, verb, name, err.text);
    return false;
}

static bool set_options(struct control_client *client, struct keyslots_wish *wish)
{
    struct json_object *options = control_member(client->varlink.call.parameters, "options");
    struct error err = { "" };

    if (options != NULL) {
        json_object_object_foreach(options, name, value)
        {
            if (!set_option(client, wish, name, value))
                return false;
        }
    }
    if (volume_keys_check(&wish->options, &err) == 0)
        return true;
    refuse_option(client, &verbs[wish->verb], "priority", err.text);
    return false;
}

/* ---- a call ---- */

struct call {
    struct exports_change change;
    struct keyslots_wish wish;
    struct control_client *client;
    struct loop *loop;
    char name[];
};

static void close_keys(const struct call *call)
{
    if (call->wish.key_fd >= 0)
        close(call->wish.key_fd);
    if (call->wish.new_key_fd >= 0)
        close(call->wish.new_key_fd);
}

static bool is_served(const char *name)
{
    bool served = exports_find(exports_lock(server_exports), name) != NULL;

    exports_unlock(server_exports);
    return served;
}

static void answer(struct control_client *client)
{
    const struct call *call = client->data;
    const struct exports_change *change = &call->change;
    struct json_object *reply;

    if (change->code == -ENOENT && !is_served(call->name)) {
        control_error(client, CONTROL_NO_SUCH_EXPORT, "name", call->name);
        return;
    }
    if (change->code != 0) {
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", change->error.text);
        return;
    }
    reply = json_object_new_object();
    control_add_number(reply, "slot", (uint64_t)call->wish.changed_slot);
    if (call->wish.known_slot >= 0)
        control_add_number(reply, "known_slot", (uint64_t)call->wish.known_slot);
    control_changed(client, reply);
}

/* On the thread of the exports. */
static void made(struct exports_change *change)
{
    struct call *call = container_of(change, struct call, change);

    close_keys(call);
    loop_post(call->loop, &call->client->job.offload.done);
}

/* The name of a parameter that is wrong or missing; NULL: there is none.  A key that goes may be
 * named by its keyslot. */
static const char *take_keys(struct control_client *client, struct keyslots_wish *wish)
{
    bool is_needed =
        wish->verb != KEYSLOTS_REMOVE || volume_keys_slot(wish->options.slot) == LUKS_KEYSLOT_ANY;

    wish->key_fd = control_take_fd(client, "key_fd");
    if (verbs[wish->verb].takes_new_key)
        wish->new_key_fd = control_take_fd(client, "new_key_fd");
    if (wish->key_fd == -2 || (wish->key_fd < 0 && is_needed))
        return "key_fd";
    return verbs[wish->verb].takes_new_key && wish->new_key_fd < 0 ? "new_key_fd" : NULL;
}

static struct call *create_call(struct control_client *client, enum keyslots_verb verb)
{
    const char *name = control_text(client->varlink.call.parameters, "name");
    struct call *call = calloc(1, sizeof *call + strlen(name) + 1);

    if (call == NULL) {
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", "not enough memory");
        return NULL;
    }
    memcpy(call->name, name, strlen(name) + 1);
    call->wish = (struct keyslots_wish){ .name = call->name,
                                         .verb = verb,
                                         .key_fd = -1,
                                         .new_key_fd = -1,
                                         .options = { .slot = VOLUME_KEYS_SLOT_NOT_GIVEN,
                                                      .new_slot = VOLUME_KEYS_SLOT_NOT_GIVEN },
                                         .known_slot = LUKS_KEYSLOT_ANY };
    call->client = client;
    call->loop = client->control->host.loop;
    call->change.keyslots = &call->wish;
    call->change.done = made;
    return call;
}

static void run(struct control_client *client, enum keyslots_verb verb)
{
    struct call *call = create_call(client, verb);

    if (call == NULL)
        return;
    if (!set_options(client, &call->wish)) {
        free(call);
        return;
    }
    const char *wrong = take_keys(client, &call->wish);
    if (wrong != NULL) {
        close_keys(call);
        free(call);
        control_refuse(client, wrong);
        return;
    }
    client->data = call;
    control_wait_for(client, answer);
    exports_submit(server_exports, &call->change);
}

void control_keys_add(struct control_client *client)
{
    run(client, KEYSLOTS_ADD);
}

void control_keys_change(struct control_client *client)
{
    run(client, KEYSLOTS_CHANGE);
}

void control_keys_remove(struct control_client *client)
{
    run(client, KEYSLOTS_REMOVE);
}
