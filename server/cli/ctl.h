/* What the verbs of `nbdcrypt ctl` share: a call, its answers, and the exit status. */
#ifndef NBDCRYPT_CTL_H
#define NBDCRYPT_CTL_H

#include "server/base/params.h"
#include "server/control/control-client.h"

/* Beside those of all commands. */
#define EXIT_NO_SERVER 3
#define EXIT_DENIED 4
#define EXIT_BUSY 5 /* or somebody has changed something meanwhile */

struct ctl_options {
    const char *socket, *type, *export_name, *rule, *key_file, *new_key_file;
    unsigned timeout_seconds; /* 0: as long as it takes */
    unsigned for_seconds, drain_seconds, delay_seconds, count, key_fd, new_key_fd;
    bool json, now, persist, if_present, batch, dry_run, openmetrics, slow, group, help;
    struct param_list replace;
};

struct ctl {
    struct ctl_options options;
    struct control_link link;
    const char *operand; /* the first one; NULL: none */
    char **others;       /* those behind it */
    int other_count;
    bool timeout_given;
};

/* All of these return an exit status, and have said what is wrong when it is not EXIT_SUCCESS. */

/* Connects. */
int ctl_open(struct ctl *ctl, int timeout_ms);
/* One reply: its parameters in *out, the caller's to put; `parameters` are consumed. */
int ctl_call(struct ctl *ctl, const char *method, struct json_object *parameters,
             struct json_object **out);
/* The same with a descriptor. */
int ctl_call_with_fd(struct ctl *ctl, const char *method, struct json_object *parameters, int fd,
                     struct json_object **out);
/* With several, in this order. */
int ctl_call_with_fds(struct ctl *ctl, const char *method, struct json_object *parameters,
                      const int *fds, unsigned count, struct json_object **out);
/* A change about which nothing is to be said. */
int ctl_change(struct ctl *ctl, const char *method, struct json_object *parameters);
/* Before a change that takes the time of storage or of a key, which the server limits: without
 * --timeout the answer is waited for until it comes. */
void ctl_wait_for_change(struct ctl *ctl);
/* Such a change, with a key in `key_fd`, or -1: none; the answer is printed with --json. */
int ctl_change_with_key(struct ctl *ctl, const char *method, struct json_object *parameters,
                        int key_fd);
/* All replies: what each has under `key`, as an array. */
int ctl_list(struct ctl *ctl, const char *method, struct json_object *parameters, const char *key,
             struct json_object **out);
/* Begins a call of many replies; the next one of them, NULL: that was the last one. */
int ctl_begin(struct ctl *ctl, const char *method, struct json_object *parameters);
int ctl_next(struct ctl *ctl, struct json_object **out, bool *last);

/* {"name": operand} if there is one, else NULL. */
struct json_object *ctl_operand(const struct ctl *ctl, const char *key);
/* --json: for programs.  Consumes it. */
void ctl_print_json(struct json_object *json);
/* The same on one line, at once. */
void ctl_print_json_line(struct json_object *json);

#endif
