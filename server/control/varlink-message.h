/* Messages of varlink's wire protocol, as text and as JSON; pure functions.
 *
 * A message is one JSON object, ended by NUL.
 *     call   {"method":"org.example.Method","parameters":{...},"more":true,"oneway":true}
 *     reply  {"parameters":{...},"continues":true}
 *     error  {"error":"org.example.Error","parameters":{...}}
 *
 * Source: https://varlink.org/Method-Call and https://varlink.org/Service. */
#ifndef NBDCRYPT_VARLINK_MESSAGE_H
#define NBDCRYPT_VARLINK_MESSAGE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "server/base/error.h"

#define VARLINK_MESSAGE_BYTES_MAX (1u << 20) /* without its NUL */
#define VARLINK_DEPTH_MAX 16u                /* objects and arrays within each other */
/* Of values in one message: each takes some hundred bytes and nanoseconds, however short it is. */
#define VARLINK_VALUES_MAX 16384u

#define VARLINK_INVALID_PARAMETER "org.varlink.service.InvalidParameter"
#define VARLINK_METHOD_NOT_FOUND "org.varlink.service.MethodNotFound"
#define VARLINK_INTERFACE_NOT_FOUND "org.varlink.service.InterfaceNotFound"
#define VARLINK_EXPECTED_MORE "org.varlink.service.ExpectedMore"

struct varlink_call {
    struct json_object *message;    /* owns what the others point to; NULL: nothing was read */
    const char *method;             /* UTF-8, not empty */
    struct json_object *parameters; /* an object; NULL: none were given */
    bool more;                      /* several replies are welcome */
    bool oneway;                    /* none is wanted */
};

/* Reads a message without its NUL.  varlink_call_free() frees in every case.
 * -EBADMSG: it is no JSON object, too deep or has too many values; whoever sends that can't be
 *           understood any further.
 * -EINVAL:  a member is missing, unknown or of another type; the error's text is its name.
 * -ENOMEM.  Otherwise the error's text is a sentence. */
NODISCARD int varlink_call_parse(struct varlink_call *out, const char *text, size_t length_bytes,
                                 struct error *err);
void varlink_call_free(struct varlink_call *call);

/* The text of a reply, with its NUL, which `*length_bytes` counts.  `parameters` is consumed; NULL:
 * an empty object.  The caller frees it; NULL: no memory. */
char *varlink_reply_text(struct json_object *parameters, bool continues, size_t *length_bytes);
/* The same of an error. */
char *varlink_error_text(const char *name, struct json_object *parameters, size_t *length_bytes);

/* A string of JSON of any bytes: see utf8_clean().  NULL stays NULL. */
struct json_object *varlink_text(const char *text);
/* The text of a string; NULL: it is none, or has a NUL within. */
const char *varlink_string(struct json_object *value);

#endif
