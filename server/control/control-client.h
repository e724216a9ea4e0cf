/* The other end of the control socket, for a program that waits for answers. */
#ifndef NBDCRYPT_CONTROL_CLIENT_H
#define NBDCRYPT_CONTROL_CLIENT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "server/base/error.h"

#define CONTROL_FOR_EVER (-1)
#define CONTROL_FDS_MAX 4u /* with one call */

struct control_link {
    int fd;
    int timeout_ms;  /* for each answer; CONTROL_FOR_EVER */
    int received_fd; /* that has come with a reply and nobody has taken; -1: none */
    char *input;
    size_t input_bytes, input_room_bytes;
};

/* `path`: NULL is the first socket of control-path.h at which a server answers.
 * -ENOENT, -ECONNREFUSED: there is no server; -EACCES: this user may not connect. */
NODISCARD int control_link_open(struct control_link *out, const char *path, int timeout_ms,
                                struct error *err);
void control_link_close(struct control_link *link);

/* `method` without its interface; `parameters` are consumed; `fd` goes with it, -1: none. */
NODISCARD int control_link_send(struct control_link *link, const char *method,
                                struct json_object *parameters, bool more, int fd,
                                struct error *err);
/* The same with several, in this order. */
NODISCARD int control_link_send_fds(struct control_link *link, const char *method,
                                    struct json_object *parameters, bool more, const int *fds,
                                    unsigned count, struct error *err);
/* The next reply, with its "parameters", "error" and "continues"; the caller's to put.
 * -EPIPE: the server has closed; -ETIMEDOUT; -EPROTO: that is no varlink. */
NODISCARD int control_link_receive(struct control_link *link, struct json_object **out,
                                   struct error *err);
/* The descriptor that has come with the last reply, the caller's to close; -1: none has. */
int control_link_take_fd(struct control_link *link);

#endif
