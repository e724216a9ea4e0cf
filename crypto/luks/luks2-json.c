/* Typed access to LUKS2 JSON: see luks2-json.h. */
#include "crypto/luks/luks2-json.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "crypto/luks/luks-policy.h"
#include "crypto/luks/luks-quote.h"

/* Keyslots are 4 levels deep; a hostile text must not use up the stack. */
#define DEPTH_MAX 16

/* Members of all objects. */
static size_t count_members(struct json_object *value)
{
    size_t count = 0;

    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++)
            count += count_members(json_object_array_get_idx(value, i));
    } else if (json_object_is_type(value, json_type_object)) {
        json_object_object_foreach(value, name, member)
        {
            (void)name;
            count += 1 + count_members(member);
        }
    }
    return count;
}

/* What is outside of strings, in double quotes. */
struct outside {
    size_t colons;
    bool single_quote; /* then what follows is not to be relied on */
};

static struct outside look_outside(const char *text)
{
    struct outside found = { 0 };
    bool in_string = false;

    for (; *text != '\0' && !found.single_quote; text++) {
        if (in_string && *text == '\\' && text[1] != '\0')
            text++;
        else if (*text == '"')
            in_string = !in_string;
        else if (*text == ':' && !in_string)
            found.colons++;
        else if (*text == '\'' && !in_string)
            found.single_quote = true;
    }
    return found;
}

/* json-c takes names in single quotes even when it is strict.  With those, others may see strings
 * where it sees none. */
static int check_quotes(const char *text, struct error *err)
{
    if (!look_outside(text).single_quote)
        return 0;
    return error_set(err, -EPERM, "the JSON text has single quotes outside of strings");
}

/* What two readers could understand in two ways. */
static int check_ambiguous(struct json_object *root, const char *text, struct error *err)
{
    if (strstr(text, "\\u0000"))
        return error_set(err, -EPERM, "the JSON text has a NUL character inside a string");
    /* A member has one colon. */
    if (look_outside(text).colons != count_members(root))
        return error_set(err, -EPERM, "the JSON text has a field twice");
    return 0;
}

int luks2_json_parse(struct json_object **out, const char *text, size_t length_bytes,
                     struct error *err)
{
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    size_t text_bytes = strnlen(text, length_bytes);
    enum json_tokener_error reason;
    struct json_object *root;
    int result = 0;

    if (tokener == NULL)
        return error_no_memory(err, "for a LUKS2 header");
    if (text_bytes == length_bytes || text_bytes > LUKS2_AREA_BYTES_MAX)
        result = error_set(err, -EINVAL, "the JSON text has no end");
    if (result == 0)
        result = check_quotes(text, err);
    if (result < 0) {
        json_tokener_free(tokener);
        return result;
    }
    /* Strict: no comments, leading zeros, or text behind the end. */
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    root = json_tokener_parse_ex(tokener, text, (int)text_bytes + 1); /* its NUL ends it */
    reason = json_tokener_get_error(tokener);
    json_tokener_free(tokener);
    if (root == NULL && reason != json_tokener_success)
        return error_set(err, -EINVAL, "the JSON text can't be parsed: %s",
                         json_tokener_error_desc(reason));
    if (!json_object_is_type(root, json_type_object)) {
        json_object_put(root);
        return error_set(err, -EINVAL, "the JSON text is not an object");
    }
    result = check_ambiguous(root, text, err);
    if (result < 0)
        json_object_put(root);
    else
        *out = root;
    return result;
}

static int get_member(struct json_object **out, struct json_object *parent, const char *key,
                      enum json_type type, struct error *err)
{
    if (!json_object_object_get_ex(parent, key, out))
        return error_set(err, -EINVAL, "the field '%s' is missing", key);
    if (!json_object_is_type(*out, type))
        return error_set(err, -EINVAL, "the field '%s' is not of type %s", key,
                         json_type_to_name(type));
    return 0;
}

int luks2_json_object(struct json_object **out, struct json_object *parent, const char *key,
                      struct error *err)
{
    return get_member(out, parent, key, json_type_object, err);
}

int luks2_json_array(struct json_object **out, struct json_object *parent, const char *key,
                     struct error *err)
{
    return get_member(out, parent, key, json_type_array, err);
}

int luks2_json_text(const char **out, struct json_object *parent, const char *key,
                    struct error *err)
{
    struct json_object *member = NULL;
    int result = get_member(&member, parent, key, json_type_string, err);

    if (result == 0)
        *out = json_object_get_string(member);
    return result;
}

int luks2_json_number(uint64_t *out, struct json_object *parent, const char *key, struct error *err)
{
    struct json_object *member = NULL;
    int result = get_member(&member, parent, key, json_type_int, err);
    int64_t number;

    if (result < 0)
        return result;
    number = json_object_get_int64(member);
    if (number < 0 || number > UINT32_MAX)
        return error_set(err, -EINVAL, "the field '%s' is out of range", key);
    *out = (uint64_t)number;
    return 0;
}

/* Digits only: no sign, no space, no wrap. */
static bool parse_decimal(uint64_t *out, const char *text)
{
    uint64_t number = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        unsigned digit = (unsigned)(*text - '0');

        if (*text < '0' || *text > '9' || number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *out = number;
    return true;
}

int luks2_json_text_number(uint64_t *out, struct json_object *parent, const char *key,
                           struct error *err)
{
    const char *text = NULL;
    int result = luks2_json_text(&text, parent, key, err);

    if (result < 0)
        return result;
    if (!parse_decimal(out, text))
        return error_set(err, -EINVAL, "the field '%s' is not a number: '%s'", key,
                         luks_quote(text, strlen(text)).text);
    return 0;
}

int luks2_json_index(unsigned *out, const char *name, unsigned limit, const char *what,
                     struct error *err)
{
    uint64_t number = 0;

    if (!parse_decimal(&number, name) || number >= limit || (name[0] == '0' && name[1] != '\0'))
        return error_set(err, -EINVAL, "'%s' is not the number of a %s (0 to %u)",
                         luks_quote(name, strlen(name)).text, what, limit - 1);
    *out = (unsigned)number;
    return 0;
}

bool luks2_json_array_has(struct json_object *array, const char *text)
{
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        struct json_object *item = json_object_array_get_idx(array, i);

        if (json_object_is_type(item, json_type_string) &&
            strcmp(json_object_get_string(item), text) == 0)
            return true;
    }
    return false;
}
