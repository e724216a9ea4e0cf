#include "server/control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/audit/audit.h"
#include "server/control/control-interface.h"
#include "server/control/control-internal.h"
#include "server/control/control-level.h"
#include "server/control/control-log.h"
#include "server/control/event-feed.h"

#define TICK_MS 1000u
#define LOOKS_MAX 256u /* of a stream in one turn, before others have theirs */

/* ---- answers ---- */

struct json_object *control_param(struct control_client *client, const char *name)
{
    return control_member(client->varlink.call.parameters, name);
}

void control_fail(struct control_client *client, const char *error, struct json_object *parameters)
{
    if (client->method != NULL && client->method->changes && client->role >= client->method->role)
        control_log_failure(client, error, parameters);
    varlink_error(&client->varlink, error, parameters);
}

void control_error(struct control_client *client, const char *error, const char *key,
                   const char *text)
{
    struct json_object *parameters = json_object_new_object();

    control_add_text(parameters, key, text);
    control_fail(client, error, parameters);
}

void control_refuse(struct control_client *client, const char *parameter)
{
    control_error(client, VARLINK_INVALID_PARAMETER, "parameter", parameter);
}

void control_changed(struct control_client *client, struct json_object *reply)
{
    struct control *control = client->control;

    control_log_done(client);
    if (reply == NULL)
        reply = json_object_new_object();
    control_add_number(reply, "revision", atomic_fetch_add(&control->revision, 1) + 1);
    varlink_reply(&client->varlink, reply, false);
}

static void refuse_conflict(struct control_client *client)
{
    struct json_object *parameters = json_object_new_object();

    control_add_number(parameters, "revision", atomic_load(&client->control->revision));
    control_fail(client, CONTROL_CONFLICT, parameters);
}

/* ---- replies in several parts ---- */

static void end_stream(struct control_client *client)
{
    client->streaming = false;
    varlink_reply(&client->varlink, client->pending, false);
    client->pending = NULL;
}

static void stream_on(struct control_client *client)
{
    unsigned looks = 0;

    if (client->job.running) /* a turn of its own is on its way */
        return;
    while (client->streaming && varlink_unsent_bytes(&client->varlink) < CONTROL_SLICE_BYTES) {
        struct json_object *next = NULL;

        if (looks++ == LOOKS_MAX) {
            control_wait_for(client, stream_on);
            loop_post(client->control->host.loop, &client->job.offload.done);
            return;
        }
        if (!client->method->next(client, &next)) {
            end_stream(client);
            return;
        }
        if (next == NULL)
            continue;
        if (client->pending != NULL)
            varlink_reply(&client->varlink, client->pending, true);
        client->pending = next;
    }
}

void control_stream(struct control_client *client)
{
    client->id = 0;
    client->cursor = 0;
    client->pending = NULL;
    if (client->varlink.call.oneway) {
        varlink_reply(&client->varlink, NULL, false);
        return;
    }
    client->streaming = true;
    stream_on(client);
}

/* ---- changes on the admin thread ---- */

static bool revision_fits(struct control_client *client)
{
    int64_t wanted = control_number(client->varlink.call.parameters, "if_revision", -1);

    return wanted < 0 || (uint64_t)wanted == atomic_load(&client->control->revision);
}

static void work(struct offload_job *offload)
{
    struct control_client *client = container_of(offload, struct control_client, job.offload);
    struct control_job *job = &client->job;

    /* Again, for others have been at work since. */
    job->conflict = !revision_fits(client);
    offload->done.result = job->conflict ? -EAGAIN : job->work(client, job->reply, &job->err);
}

static void free_client(struct control_client *client);

static void waited(struct io_event *ev, int result)
{
    struct control_client *client = container_of(ev, struct control_client, job.offload.done.event);

    (void)result;
    client->job.running = false;
    if (client->gone) {
        if (client->method->changes) /* it may have been made */
            atomic_fetch_add(&client->control->revision, 1);
        free_client(client);
        return;
    }
    client->job.done(client);
    free(client->data);
    client->data = NULL;
}

void control_wait_for(struct control_client *client, void (*done)(struct control_client *client))
{
    client->job.running = true;
    client->job.done = done;
    client->job.offload.done.event.fn = waited;
}

static void worked(struct io_event *ev, int result)
{
    struct control_client *client = container_of(ev, struct control_client, job.offload.done.event);
    struct control_job *job = &client->job;
    struct json_object *reply = job->reply;

    job->running = false;
    job->reply = NULL;
    free(client->data);
    client->data = NULL;
    if (result == 0 && job->looks && !client->gone) {
        control_add_number(reply, "revision", atomic_load(&client->control->revision));
        varlink_reply(&client->varlink, reply, false);
        return;
    }
    if (result == 0 && !client->gone) {
        control_changed(client, reply);
        return;
    }
    if (result == 0 && !job->looks)
        atomic_fetch_add(&client->control->revision, 1);
    json_object_put(reply);
    if (client->gone)
        free_client(client);
    else if (job->conflict)
        refuse_conflict(client);
    else
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", job->err.text);
}

void control_run_job(struct control_client *client,
                     int (*run)(struct control_client *client, struct json_object *reply,
                                struct error *err))
{
    struct control_job *job = &client->job;

    job->work = run;
    job->running = true;
    job->looks = false;
    job->reply = json_object_new_object();
    job->err.text[0] = '\0';
    job->offload.work = work;
    job->offload.done.event.fn = worked;
    job->offload.loop = client->control->host.loop;
    offload_run(client->control->host.admin, &job->offload);
}

/* ---- calls ---- */

static const struct control_param *find_param(const struct control_method *method, const char *name)
{
    static const struct control_param if_revision = { "if_revision", json_type_int, false };

    for (size_t i = 0; i < CONTROL_PARAMS_MAX && method->params[i].name != NULL; i++)
        if (strcmp(method->params[i].name, name) == 0)
            return &method->params[i];
    return method->changes && strcmp(name, if_revision.name) == 0 ? &if_revision : NULL;
}

static bool has_type(struct json_object *value, enum json_type type)
{
    if (type == json_type_string)
        return varlink_string(value) != NULL;
    return json_object_is_type(value, type);
}

/* The name of one that is wrong or missing; NULL: there is none.  Null is as good as nothing:
 * it is how varlink writes one that was left out. */
static const char *wrong_param(const struct control_method *method, struct json_object *parameters)
{
    if (parameters != NULL) {
        json_object_object_foreach(parameters, name, value)
        {
            const struct control_param *param = find_param(method, name);

            if (param == NULL || (value != NULL && !has_type(value, param->type)))
                return name;
        }
    }
    for (size_t i = 0; i < CONTROL_PARAMS_MAX && method->params[i].name != NULL; i++)
        if (method->params[i].required &&
            control_member(parameters, method->params[i].name) == NULL)
            return method->params[i].name;
    return NULL;
}

static void refuse_method(struct control_client *client, const char *name)
{
    const char *dot = strrchr(name, '.');
    char interface[64] = "";

    if (dot != NULL && (size_t)(dot - name) < sizeof interface)
        memcpy(interface, name, (size_t)(dot - name));
    if (control_interface_text(interface) == NULL)
        control_error(client, VARLINK_INTERFACE_NOT_FOUND, "interface",
                      interface[0] != '\0' ? interface : name);
    else
        control_error(client, VARLINK_METHOD_NOT_FOUND, "method", name);
}

static void refuse_role(struct control_client *client)
{
    control_log_refusal(client);
    control_error(client, CONTROL_DENIED, "need", control_role_name(client->method->role));
}

static bool can_be_recorded(const struct control_method *method)
{
    return !method->gives || audit_can_record(AUDIT_OPERATORS);
}

static void refuse_unrecorded(struct control_client *client)
{
    control_error(client, CONTROL_NOT_POSSIBLE, "reason",
                  "changes are recorded, and that can't be done at the moment: the log of the "
                  "server says why");
}

static void run(struct control_client *client)
{
    const struct control_method *method = client->method;
    const char *wrong = wrong_param(method, client->varlink.call.parameters);

    if (client->role < method->role) {
        refuse_role(client);
    } else if (wrong != NULL) {
        control_refuse(client, wrong);
    } else if (!revision_fits(client)) {
        refuse_conflict(client);
    } else if (!can_be_recorded(method)) {
        refuse_unrecorded(client);
    } else {
        if (method->changes)
            control_log_change(client);
        method->run(client);
    }
}

static void called(struct varlink_connection *connection)
{
    struct control_client *client = container_of(connection, struct control_client, varlink);

    client->method = control_method_find(client->control, connection->call.method);
    if (client->method == NULL)
        refuse_method(client, connection->call.method);
    else
        run(client);
}

static void writable(struct varlink_connection *connection)
{
    struct control_client *client = container_of(connection, struct control_client, varlink);

    if (client->streaming)
        stream_on(client);
    else if (client->follows)
        control_follow_on(client);
}

/* Events have no other end; what ends by itself is still answered. */
static void input_ended(struct varlink_connection *connection)
{
    struct control_client *client = container_of(connection, struct control_client, varlink);

    if (client->follows)
        varlink_close(connection);
}

/* ---- clients ---- */

/* Of those that are gone a change may still be under way, which may take long: it is not waited
 * for. */
static void end_if_empty(struct control *control)
{
    if (!control->stopping || control->stopped || control->open_count > 0 || control->clock_runs)
        return;
    control->stopped = true;
    control->host.stopped(control->host.context);
}

static void free_client(struct control_client *client)
{
    struct control *control = client->control;

    if (client->next != NULL)
        client->next->previous = client->previous;
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        control->clients = client->next;
    control->client_count--;
    json_object_put(client->pending);
    json_object_put(client->job.reply);
    free(client->data);
    free(client->text);
    varlink_release(&client->varlink);
    free(client);
}

static void closed(struct varlink_connection *connection)
{
    struct control_client *client = container_of(connection, struct control_client, varlink);

    struct control *control = client->control;

    client->gone = true;
    control->open_count--;
    client->follows = client->streaming = false;
    if (!client->job.running)
        free_client(client);
    end_if_empty(control);
}

static unsigned clients_of(const struct control *control, uid_t uid)
{
    unsigned count = 0;

    for (const struct control_client *one = control->clients; one != NULL; one = one->next)
        count += one->peer.uid == uid;
    return count;
}

/* NULL: there is. */
static const char *why_no_place(const struct control *control, const struct peer *peer)
{
    bool own = peer->uid == 0 || peer->uid == geteuid();
    unsigned max = own ? CONTROL_CLIENTS_MAX : CONTROL_CLIENTS_MAX - CONTROL_CLIENTS_KEPT;

    if (control->stopping)
        return "the server ends";
    if (control->client_count >= max)
        return "too many are connected";
    if (clients_of(control, peer->uid) >= CONTROL_CLIENTS_OF_USER)
        return "this user has too many connections";
    return NULL;
}

/* Before it has asked anything, as far as the socket takes it. */
static void turn_away(int fd, const char *why)
{
    struct json_object *parameters = json_object_new_object();
    size_t length_bytes;

    control_add_text(parameters, "reason", why);
    char *text = varlink_error_text(CONTROL_BUSY, parameters, &length_bytes);
    if (text != NULL)
        (void)!send(fd, text, length_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    free(text);
    close(fd);
}

void control_accept(struct control *control, int fd, const struct peer *peer)
{
    static const struct varlink_ops ops = { called, writable, input_ended, closed };
    const char *why = why_no_place(control, peer);
    struct control_client *client = why == NULL ? calloc(1, sizeof *client) : NULL;

    if (client == NULL) {
        log_write_of(LOG_WARNING, peer->text, "control: turned away: %s",
                     why != NULL ? why : "not enough memory");
        turn_away(fd, why != NULL ? why : "not enough memory");
        return;
    }
    client->control = control;
    client->peer = *peer;
    client->role = control_rules_role(control->host.rules, fd, peer);
    client->next = control->clients;
    if (client->next != NULL)
        client->next->previous = client;
    control->clients = client;
    control->client_count++;
    control->open_count++;
    control_need_clock(control);
    varlink_open(&client->varlink, &ops, control->host.loop, fd);
}

/* ---- the clock ---- */

/* Who leaves a message half sent, or takes no reply, has its place for some time only.  A slow
 * reader of events keeps it, and loses events. */
static void look_at(struct control_client *client)
{
    struct varlink_connection *varlink = &client->varlink;
    bool half = varlink_is_in_a_message(varlink);
    bool stuck = !client->follows && varlink_unsent_bytes(varlink) > 0 &&
                 varlink->progress == client->progress_seen;

    client->idle_seconds = half || stuck ? client->idle_seconds + 1 : 0;
    client->progress_seen = varlink->progress;
    if (client->idle_seconds <= (half ? CONTROL_MESSAGE_SECONDS : CONTROL_STALL_SECONDS))
        return;
    log_write_of(LOG_NOTICE, client->peer.text, "control: %s; dropped",
                 half ? "stopped within a message" : "takes no replies");
    varlink_close(varlink);
}

static void ticked(struct io_event *ev, int result)
{
    struct control *control = container_of(ev, struct control, clock.event);

    (void)result;
    control->clock_runs = false;
    if (control->stopping) {
        end_if_empty(control);
        return;
    }
    bool levels = control_level_tick(control);
    for (struct control_client *client = control->clients, *next; client != NULL; client = next) {
        next = client->next;
        if (!client->gone)
            look_at(client);
    }
    if (control->client_count > 0 || levels)
        control_need_clock(control);
}

void control_need_clock(struct control *control)
{
    if (control->clock_runs || control->stopping)
        return;
    control->clock_runs = true;
    control->clock.event.fn = ticked;
    loop_timer_start(control->host.loop, &control->clock, TICK_MS);
}

/* ---- all of it ---- */

int control_create(struct control **out, const struct control_host *host, struct error *err)
{
    struct control *control = calloc(1, sizeof *control);

    if (control == NULL)
        return error_no_memory(err, "for the control socket");
    control->host = *host;
    control->log_level = control->usual_log_level = host->log_level;
    clock_gettime(CLOCK_REALTIME, &control->since);
    event_feed_start(host->loop, control_give_event, control);
    *out = control;
    return 0;
}

/* Events have no end by themselves. */
static void look_at_role(struct control_client *client)
{
    client->role =
        control_rules_role(client->control->host.rules, client->varlink.file.fd, &client->peer);
    if (!client->follows || client->role >= client->method->role)
        return;
    client->follows = false;
    refuse_role(client);
}

void control_use_rules(struct control *control)
{
    struct control_client *next;

    for (struct control_client *client = control->clients; client != NULL; client = next) {
        next = client->next;
        if (!client->gone)
            look_at_role(client);
    }
}

void control_use_tls(struct control *control, const char *mode)
{
    control->host.tls = mode;
}

/* One that was asked for some time only stays in force for that. */
void control_use_log_level(struct control *control, enum log_level level)
{
    control->usual_log_level = level;
    if (control->log_seconds > 0)
        return;
    control->log_level = level;
    log_set_level(level);
}

void control_tell_ending(struct control *control)
{
    control->ending = true;
}

void control_stop(struct control *control)
{
    if (control->stopping)
        return;
    control->stopping = true;
    for (struct control_client *client = control->clients; client != NULL; client = client->next)
        if (!client->gone)
            varlink_close(&client->varlink);
    if (control->clock_runs)
        loop_cancel(control->host.loop, &control->clock.event);
    end_if_empty(control);
}

void control_free(struct control *control)
{
    if (control == NULL)
        return;
    event_feed_stop();
    while (control->clients != NULL) /* whose change has not come back */
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the first one has none before it */
        free_client(control->clients);
    control_level_free(control);
    free(control);
}
