#include "server/cli/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/control/control-json.h"

/* ---- what went wrong ---- */

static int status_of(int result)
{
    if (result == -ENOENT || result == -ECONNREFUSED)
        return EXIT_NO_SERVER;
    return result == -EACCES || result == -EPERM ? EXIT_DENIED : EXIT_FAILURE;
}

static int fail(int result, const struct error *err)
{
    log_error("%s", err->text);
    return status_of(result);
}

/* What errors of org.nbdcrypt mean to people: %s is the text of their only member. */
static const struct sentence {
    const char *error, *key, *text;
    int status;
} sentences[] = {
    { "org.nbdcrypt.NoSuchExport", "name", "there is no export '%s'", EXIT_FAILURE },
    { "org.nbdcrypt.NoSuchGroup", "name", "there is no group of limits '%s'", EXIT_FAILURE },
    { "org.nbdcrypt.NoSuchClient", "id", "there is no client %s (any more)", EXIT_FAILURE },
    { "org.nbdcrypt.NotPossible", "reason", "%s", EXIT_FAILURE },
    { "org.nbdcrypt.Denied", "need",
      "this user may not do that: it takes the role %s, which the server gives by its options "
      "--control-view, --control-operate and --control-admin",
      EXIT_DENIED },
    { "org.nbdcrypt.Busy", "reason", "the server takes no more control clients: %s", EXIT_BUSY },
    { "org.nbdcrypt.Conflict", "revision",
      "something has been changed meanwhile: the revision is %s now", EXIT_BUSY },
    { "org.varlink.service.InvalidParameter", "parameter", "the server refused the call: '%s'",
      EXIT_FAILURE },
    { "org.varlink.service.MethodNotFound", "method",
      "the server can't do that (%s): it is of another version", EXIT_FAILURE },
};

/* Those with more than one member. */
static int refused_busy(struct json_object *parameters)
{
    int64_t clients = control_number(parameters, "clients", 0);
    const char *name = control_text(parameters, "name");

    log_error("export '%.200s' has %lld client%s: --drain SECONDS or --now",
              name != NULL ? name : "?", (long long)clients, clients == 1 ? "" : "s");
    return EXIT_BUSY;
}

static int refused_option(struct json_object *parameters)
{
    const char *option = control_text(parameters, "option");
    const char *reason = control_text(parameters, "reason");
    const char *near = control_text(parameters, "near");
    size_t bytes = option != NULL ? strlen(option) : 0;

    if (bytes > 0 && reason != NULL && strncmp(reason, option, bytes) == 0 && reason[bytes] == ':')
        reason += bytes + 2; /* the option's name and ": " */
    log_error("%.200s: %.400s%s%.200s%s", option != NULL ? option : "?",
              reason != NULL ? reason : "?", near != NULL ? ": did you mean " : "",
              near != NULL ? near : "", near != NULL ? "?" : "");
    return EXIT_FAILURE;
}

static int refused(const char *error, struct json_object *parameters)
{
    if (strcmp(error, "org.nbdcrypt.ExportBusy") == 0)
        return refused_busy(parameters);
    if (strcmp(error, "org.nbdcrypt.BadOption") == 0)
        return refused_option(parameters);

    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++) {
        const struct sentence *one = &sentences[i];
        struct json_object *value = control_member(parameters, one->key);
        char text[512];

        if (strcmp(one->error, error) != 0)
            continue;
        snprintf(text, sizeof text, "%.400s", value != NULL ? json_object_get_string(value) : "?");
        const char *at = strstr(one->text, "%s");
        log_error("%.*s%s%s", (int)(at - one->text), one->text, text, at + 2);
        return one->status;
    }
    log_error("the server refused the call: %.200s", error);
    return EXIT_FAILURE;
}

/* ---- calls ---- */

int ctl_open(struct ctl *ctl, int timeout_ms)
{
    struct error err = { "" };
    int result = control_link_open(&ctl->link, ctl->options.socket, timeout_ms, &err);

    return result == 0 ? EXIT_SUCCESS : fail(result, &err);
}

int ctl_begin(struct ctl *ctl, const char *method, struct json_object *parameters)
{
    struct error err = { "" };
    int result = control_link_send(&ctl->link, method, parameters, true, -1, &err);

    return result == 0 ? EXIT_SUCCESS : fail(result, &err);
}

int ctl_next(struct ctl *ctl, struct json_object **out, bool *last)
{
    struct json_object *reply = NULL;
    struct error err = { "" };
    int result = control_link_receive(&ctl->link, &reply, &err), status = EXIT_SUCCESS;

    *out = NULL;
    if (result < 0)
        return fail(result, &err);
    const char *error = control_text(reply, "error");
    if (error != NULL)
        status = refused(error, control_member(reply, "parameters"));
    else
        *out = json_object_get(control_member(reply, "parameters"));
    *last = !control_flag(reply, "continues");
    json_object_put(reply);
    return status;
}

int ctl_call_with_fds(struct ctl *ctl, const char *method, struct json_object *parameters,
                      const int *fds, unsigned count, struct json_object **out)
{
    struct error err = { "" };
    bool last;

    *out = NULL;
    int result = control_link_send_fds(&ctl->link, method, parameters, false, fds, count, &err);
    return result == 0 ? ctl_next(ctl, out, &last) : fail(result, &err);
}

int ctl_call_with_fd(struct ctl *ctl, const char *method, struct json_object *parameters, int fd,
                     struct json_object **out)
{
    return ctl_call_with_fds(ctl, method, parameters, &fd, fd >= 0, out);
}

int ctl_call(struct ctl *ctl, const char *method, struct json_object *parameters,
             struct json_object **out)
{
    return ctl_call_with_fd(ctl, method, parameters, -1, out);
}

int ctl_list(struct ctl *ctl, const char *method, struct json_object *parameters, const char *key,
             struct json_object **out)
{
    bool last = false;
    int status = ctl_begin(ctl, method, parameters);

    *out = json_object_new_array();
    while (status == EXIT_SUCCESS && !last) {
        struct json_object *reply = NULL;

        status = ctl_next(ctl, &reply, &last);
        struct json_object *one = control_member(reply, key);
        if (one != NULL)
            control_append(*out, json_object_get(one));
        json_object_put(reply);
    }
    return status;
}

int ctl_change(struct ctl *ctl, const char *method, struct json_object *parameters)
{
    struct json_object *reply;
    int status = ctl_call(ctl, method, parameters, &reply);

    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(reply));
    json_object_put(reply);
    return status;
}

void ctl_wait_for_change(struct ctl *ctl)
{
    if (!ctl->timeout_given)
        ctl->link.timeout_ms = CONTROL_FOR_EVER;
}

int ctl_change_with_key(struct ctl *ctl, const char *method, struct json_object *parameters,
                        int key_fd)
{
    struct json_object *reply;

    if (key_fd >= 0)
        control_add_number(parameters, "key_fd", 0);
    ctl_wait_for_change(ctl);
    int status = ctl_call_with_fd(ctl, method, parameters, key_fd, &reply);
    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(reply));
    json_object_put(reply);
    return status;
}

/* ---- operands and output ---- */

struct json_object *ctl_operand(const struct ctl *ctl, const char *key)
{
    if (ctl->operand == NULL)
        return NULL;
    return control_with(key, json_object_new_string(ctl->operand));
}

void ctl_print_json(struct json_object *json)
{
    puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                  JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(json);
}

void ctl_print_json_line(struct json_object *json)
{
    puts(json_object_to_json_string_ext(json,
                                        JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    fflush(stdout);
    json_object_put(json);
}
