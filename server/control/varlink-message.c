#include "server/control/varlink-message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/utf8.h"

#define TOKENER_DEPTH ((int)VARLINK_DEPTH_MAX + 2) /* it counts what is in the innermost, too */

/* ---- reading ---- */

static int refuse_text(struct error *err)
{
    return error_set(err, -EBADMSG, "the message is not one JSON object");
}

/* Before the parser makes something of it: objects, arrays and commas count what it would make.  A
 * text that is no JSON is counted wrongly behind its first fault only, where the parser stops. */
static int check_size(const char *text, size_t length_bytes, struct error *err)
{
    size_t depth = 0, values = 0;
    bool in_string = false;

    for (size_t i = 0; i < length_bytes; i++) {
        char c = text[i];

        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++, values++;
        else if (!in_string && (c == '}' || c == ']'))
            depth -= depth > 0;
        else if (!in_string && (c == ',' || c == ':'))
            values++;
        else if (!in_string && (c == 'N' || c == 'I'))
            return refuse_text(err); /* NaN and Infinity are for the parser, and not for JSON */
        if (depth > VARLINK_DEPTH_MAX)
            return error_set(err, -EBADMSG,
                             "the message has more than %u objects and arrays "
                             "within each other",
                             VARLINK_DEPTH_MAX);
        if (values > VARLINK_VALUES_MAX)
            return error_set(err, -EBADMSG, "the message has more than %u values",
                             VARLINK_VALUES_MAX);
    }
    return 0;
}

static int parse_object(struct json_object **out, const char *text, size_t length_bytes,
                        struct error *err)
{
    struct json_tokener *tokener = json_tokener_new_ex(TOKENER_DEPTH);

    if (tokener == NULL)
        return error_no_memory(err, "for a message");
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    *out = json_tokener_parse_ex(tokener, text, (int)length_bytes);
    enum json_tokener_error fault = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);
    if (fault == json_tokener_success && end == length_bytes &&
        json_object_is_type(*out, json_type_object))
        return 0;
    json_object_put(*out);
    *out = NULL;
    return refuse_text(err);
}

static bool take_flag(bool *out, struct json_object *value)
{
    *out = json_object_get_boolean(value);
    return json_object_is_type(value, json_type_boolean);
}

static bool take_member(struct varlink_call *call, const char *name, struct json_object *value)
{
    if (strcmp(name, "method") == 0) {
        call->method = varlink_string(value);
        return call->method != NULL && call->method[0] != '\0';
    }
    if (strcmp(name, "parameters") == 0) {
        call->parameters = value;
        return value == NULL || json_object_is_type(value, json_type_object);
    }
    if (strcmp(name, "more") == 0)
        return take_flag(&call->more, value);
    if (strcmp(name, "oneway") == 0)
        return take_flag(&call->oneway, value);
    return false;
}

int varlink_call_parse(struct varlink_call *out, const char *text, size_t length_bytes,
                       struct error *err)
{
    const char *wrong = NULL;

    *out = (struct varlink_call){ 0 };
    int result = check_size(text, length_bytes, err);
    if (result == 0)
        result = parse_object(&out->message, text, length_bytes, err);
    if (result < 0)
        return result;
    json_object_object_foreach(out->message, name, value)
    {
        if (!take_member(out, name, value) && wrong == NULL)
            wrong = name;
    }
    if (wrong == NULL && out->method == NULL)
        wrong = "method";
    return wrong == NULL ? 0 : error_set(err, -EINVAL, "%.200s", wrong);
}

void varlink_call_free(struct varlink_call *call)
{
    json_object_put(call->message);
    *call = (struct varlink_call){ 0 };
}

/* ---- writing ---- */

static char *message_text(struct json_object *message, size_t *length_bytes)
{
    const char *text = json_object_to_json_string_length(
        message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, length_bytes);
    char *copy = text != NULL ? malloc(++*length_bytes) : NULL;

    if (copy != NULL)
        memcpy(copy, text, *length_bytes);
    json_object_put(message);
    return copy;
}

static struct json_object *message_with(struct json_object *parameters)
{
    struct json_object *message = json_object_new_object();

    if (parameters == NULL)
        parameters = json_object_new_object();
    if (message != NULL && json_object_object_add(message, "parameters", parameters) == 0)
        return message;
    json_object_put(parameters);
    json_object_put(message);
    return NULL;
}

/* With a member that is not to be missing: a failure would be read as success.  Takes both. */
static char *text_with(struct json_object *message, const char *key, struct json_object *value,
                       size_t *length_bytes)
{
    if (message != NULL && value != NULL && json_object_object_add(message, key, value) == 0)
        return message_text(message, length_bytes);
    json_object_put(value);
    json_object_put(message);
    return NULL;
}

char *varlink_reply_text(struct json_object *parameters, bool continues, size_t *length_bytes)
{
    struct json_object *message = message_with(parameters);

    if (continues)
        return text_with(message, "continues", json_object_new_boolean(true), length_bytes);
    return message != NULL ? message_text(message, length_bytes) : NULL;
}

char *varlink_error_text(const char *name, struct json_object *parameters, size_t *length_bytes)
{
    return text_with(message_with(parameters), "error", json_object_new_string(name), length_bytes);
}

struct json_object *varlink_text(const char *text)
{
    char *clean = text != NULL ? utf8_clean(text, strlen(text)) : NULL;
    struct json_object *value = clean != NULL ? json_object_new_string(clean) : NULL;

    free(clean);
    return value;
}

const char *varlink_string(struct json_object *value)
{
    if (!json_object_is_type(value, json_type_string))
        return NULL;
    const char *text = json_object_get_string(value);
    return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}
