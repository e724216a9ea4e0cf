#include "server/access/dn.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define SPECIAL "\"+,;<>" /* in a value these are escaped: RFC 4514 section 2.4 */
/* A '#' that begins a value in hexadecimal, and is no character of it. */
#define HASH_OF_HEX 0x100
#define AS_IN "write it as in CN=vm7,O=Example (RFC 4514)"

/* One attribute of a name; both texts are parts of it, still escaped. */
struct attribute {
    const char *type, *value;
    size_t type_bytes, value_bytes;
    char separator; /* behind it: ',', '+', or '\0' at the end */
};

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at;

    if (c >= 'A' && c <= 'F')
        c = (char)(c - 'A' + 'a');
    at = c ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* The bytes that one character of a value takes: itself, "\," or "\2C".  0: none begins here. */
static size_t character_bytes(const char *at)
{
    if (*at == '\0' || strchr(SPECIAL, *at))
        return 0;
    if (*at != '\\')
        return 1;
    if (hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0)
        return at[1] == '0' && at[2] == '0' ? 0 : 3;
    return at[1] && strchr(SPECIAL "\\ #=*", at[1]) ? 2 : 0;
}

/* The next character of a value, unescaped. */
static int next_character(const char **at)
{
    size_t bytes = character_bytes(*at);
    const char *from = *at;

    *at += bytes;
    if (bytes == 3)
        return hex_digit(from[1]) * 16 + hex_digit(from[2]);
    return (unsigned char)from[bytes - 1];
}

/* Takes the value at *at; it may be empty. */
static void take_value(const char **at, struct attribute *out)
{
    const char *end; /* behind the last character that is no blank */

    *at += strspn(*at, " ");
    out->value = end = *at;
    for (size_t bytes = character_bytes(*at); bytes > 0; bytes = character_bytes(*at)) {
        bool blank = **at == ' ';

        *at += bytes;
        if (!blank)
            end = *at;
    }
    out->value_bytes = (size_t)(end - out->value);
}

/* Takes the attribute at *at with the separator behind it. */
static bool take_attribute(const char **at, struct attribute *out)
{
    *at += strspn(*at, " ");
    out->type = *at;
    out->type_bytes = strspn(*at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789.-");
    *at += out->type_bytes;
    *at += strspn(*at, " ");
    if (out->type_bytes == 0 || **at != '=')
        return false;
    (*at)++;
    take_value(at, out);
    out->separator = **at;
    if (!strchr(",+", out->separator)) /* '\0' is found too */
        return false;
    if (out->separator)
        (*at)++;
    return true;
}

/* ---- checking ---- */

static bool has_bare_star(const struct attribute *attribute)
{
    const char *at = attribute->value;

    while (at < attribute->value + attribute->value_bytes) {
        if (*at == '*')
            return true;
        (void)next_character(&at);
    }
    return false;
}

int dn_check(const char *text, struct error *err)
{
    struct attribute attribute = { .separator = ',' };
    const char *at = text;

    if (*text == '/')
        return error_set(err, -EINVAL, "this is not how a name is written here: " AS_IN);
    while (attribute.separator) {
        const char *begin = at;

        if (!take_attribute(&at, &attribute))
            return error_set(err, -EINVAL,
                             "'%s' does not begin with TYPE=VALUE, or its value has one of " SPECIAL
                             "\\ without a \\ in front: " AS_IN,
                             begin);
        if (attribute.value_bytes == 0)
            return error_set(err, -EINVAL, "'%.*s' has no value: " AS_IN, (int)attribute.type_bytes,
                             attribute.type);
        if (has_bare_star(&attribute))
            return error_set(err, -EINVAL,
                             "a name is compared as a whole, there are no patterns: "
                             "write \\* for a '*' that is part of it");
    }
    return 0;
}

/* ---- comparing ---- */

static bool is_email(const struct attribute *attribute)
{
    return attribute->type_bytes == strlen("emailAddress") &&
           !strncasecmp(attribute->type, "emailAddress", attribute->type_bytes);
}

static bool same_type(const struct attribute *a, const struct attribute *b)
{
    const struct attribute email = { .type = "EMAIL", .type_bytes = strlen("EMAIL") };

    a = is_email(a) ? &email : a;
    b = is_email(b) ? &email : b;
    return a->type_bytes == b->type_bytes && !strncasecmp(a->type, b->type, a->type_bytes);
}

/* The next character of the value from `*at` to its end; -1 there. */
static int walk_value(const struct attribute *attribute, const char **at)
{
    if (*at == attribute->value + attribute->value_bytes)
        return -1;
    if (*at == attribute->value && **at == '#') {
        (*at)++;
        return HASH_OF_HEX;
    }
    return next_character(at);
}

static bool same_value(const struct attribute *a, const struct attribute *b)
{
    const char *at_a = a->value, *at_b = b->value;
    int next;

    do {
        next = walk_value(a, &at_a);
        if (next != walk_value(b, &at_b))
            return false;
    } while (next >= 0);
    return true;
}

bool dn_equal(const char *a, const char *b)
{
    struct attribute from_a, from_b;

    do {
        if (!take_attribute(&a, &from_a) || !take_attribute(&b, &from_b))
            return false;
        if (!same_type(&from_a, &from_b) || !same_value(&from_a, &from_b) ||
            from_a.separator != from_b.separator)
            return false;
    } while (from_a.separator);
    return true;
}
