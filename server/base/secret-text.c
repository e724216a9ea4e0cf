#include "server/base/secret-text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MASK "***"

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static bool ends_with(const char *start, const char *end, const char *word)
{
    size_t length = strlen(word);

    return (size_t)(end - start) >= length && strncasecmp(end - length, word, length) == 0;
}

static bool is_name(const char *start, const char *end, const char *word)
{
    return (size_t)(end - start) == strlen(word) && ends_with(start, end, word);
}

/* A parameter: its name is from `start` to `end`.  A path is none, nor where systemd finds one. */
static bool is_secret_name(const char *start, const char *end)
{
    static const char *const marks[] = { "passw", "passphrase", "secret",     "token",    "key",
                                         "auth",  "cookie",     "credential", "signature" };
    static const char *const whole[] = { "pass", "pwd", "pin", "sig" };

    if (ends_with(start, end, "-file") || ends_with(start, end, "keyring") ||
        is_name(start, end, "LoadCredential"))
        return false;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        if (is_name(start, end, whole[i]))
            return true;
    for (; start < end; start++)
        for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
            if (strncasecmp(start, marks[i], strlen(marks[i])) == 0)
                return true;
    return false;
}

/* In a sentence of a log much is named like a secret that is none ("LoadCredential=disk:FILE"). */
static bool is_password_name(const char *start, const char *end)
{
    for (; start < end; start++)
        if (strncasecmp(start, "passw", strlen("passw")) == 0)
            return true;
    return false;
}

/* Of HTTP, with "name: value": any of them may be one in which somebody shows who he is, but in a
 * sentence a colon stands behind other words, too. */
static bool is_secret_header(const char *start, const char *end)
{
    return ends_with(start, end, "authorization") || is_name(start, end, "cookie") ||
           is_name(start, end, "set-cookie") ||
           (end - start > 2 && strncasecmp(start, "x-", 2) == 0 && is_secret_name(start, end));
}

/* The character at `at`, which may be written %XX; *bytes is how long it is. */
static char character(const char *at, size_t *bytes)
{
    bool escaped = *at == '%' && isxdigit((unsigned char)at[1]) && isxdigit((unsigned char)at[2]);

    *bytes = escaped ? 3 : 1;
    return escaped ? (char)strtoul((char[]){ at[1], at[2], '\0' }, NULL, 16) : *at;
}

/* What is behind `word` at `at`; NULL: it is not there. */
static const char *behind(const char *at, const char *word)
{
    for (size_t bytes; *word != '\0'; word++, at += bytes)
        if (character(at, &bytes) != *word)
            return NULL;
    return at;
}

/* Behind "://": the password of user:password@, whose length is *bytes; NULL: there is none. */
static const char *password_of_uri(const char *at, size_t *bytes)
{
    const char *password = NULL, *end = NULL;
    size_t length;

    for (char c; *at != '\0' && *at != '&'; at += length) {
        c = character(at, &length);
        if (strchr("/?# \t\"'", c) != NULL)
            break;
        if (c == ':' && password == NULL)
            password = at + length;
        if (c == '@')
            end = at;
    }
    if (password == NULL || end == NULL || end < password)
        return NULL;
    *bytes = (size_t)(end - password);
    return password;
}

/* \" of JSON is a part of a text. */
static bool is_escaped(const char *text, const char *mark)
{
    return *mark == '"' && mark > text && mark[-1] == '\\';
}

/* An apostrophe has letters on both sides; behind a mask it is no beginning. */
static bool may_begin(const char *text, const char *mark)
{
    return mark == text || (!isalnum((unsigned char)mark[-1]) && mark[-1] != MASK[0]);
}

static bool may_end(const char *mark)
{
    return !isalnum((unsigned char)mark[1]);
}

/* Whether one such quotation mark stands open before this name. */
static bool is_open(const char *text, const char *name, char mark)
{
    bool open = false;

    for (const char *at = text; at < name; at++)
        if (*at == mark && !is_escaped(text, at))
            open = open ? !may_end(at) : may_begin(text, at);
    return open;
}

/* To the end of a parameter or a line: what is in there may have blanks, commas and quotes. */
static size_t whole_value(const char *text, const char *name, const char *value)
{
    const char marks[] = { is_open(text, name, '\'') ? '\'' : '&',
                           is_open(text, name, '"') ? '"' : '&', '\0' };
    const char *end = value;

    for (; strchr("&\r\n", *end) == NULL; end++)
        if (strchr(marks, *end) != NULL && may_end(end) && !is_escaped(text, end))
            break;
    return (size_t)(end - value);
}

/* "name": "value" of JSON, where `at` is the quote behind the name; NULL: it is no such thing. */
static const char *value_of_json(const char *at, size_t *bytes)
{
    at += 1 + strspn(at + 1, " \t");
    if (*at != ':')
        return NULL;
    at += 1 + strspn(at + 1, " \t");
    if (*at != '"')
        return NULL;
    const char *end = at + 1;
    while (*end != '\0' && *end != '"')
        end += end[0] == '\\' && end[1] != '\0' ? 2 : 1;
    *bytes = (size_t)(end - at) - 1;
    return at + 1;
}

/* 'value' or "value", which may be cut; behind 'name=' the mark closes. */
static const char *quoted_value(const char *text, const char *name, const char *value,
                                size_t *bytes)
{
    if (name > text && name[-1] == *value)
        return NULL;
    *bytes = strcspn(value + 1, (char[]){ *value, '\0' });
    if (value[1 + *bytes] == '\0')
        *bytes = whole_value(text, name, value + 1);
    return value + 1;
}

/* \"value\", in JSON. */
static const char *escaped_value(const char *text, const char *name, const char *value,
                                 size_t *bytes)
{
    const char *end = strstr(value + 2, "\\\"");

    *bytes = end != NULL ? (size_t)(end - value) - 2 : whole_value(text, name, value + 2);
    return value + 2;
}

/* What is to be written there by the reader: "KEY=VALUE". */
static bool is_placeholder(const char *value)
{
    return strncasecmp(value, "value", 5) == 0 && !is_word(value[5]);
}

/* name=value: of the parameters of an image or URI, those that are headers of HTTP may be any. */
static const char *value_of_parameter(const char *text, const char *name, const char *at,
                                      bool sentence, size_t *bytes)
{
    bool of_image = name > text && strchr("?&", name[-1]) != NULL;
    const char *value = at + 1;

    if (of_image && ends_with(name, at, "user")) { /* user:password */
        for (size_t length; strchr("&? \t\r\n", *value) == NULL; value += length)
            if (character(value, &length) == ':') {
                *bytes = whole_value(text, name, value + length);
                return value + length;
            }
        return NULL;
    }
    if (!is_secret_name(name, at) && !(of_image && ends_with(name, at, "header")))
        return NULL;
    if (sentence && !of_image && !is_password_name(name, at))
        return NULL;
    if (strncmp(value, "+FILE", 5) == 0 || strncmp(value, "+/", 2) == 0 || /* nbdkit's way */
        is_placeholder(value))
        return NULL;
    if (*value == '"' || *value == '\'')
        return quoted_value(text, name, value, bytes);
    if (strncmp(value, "\\\"", 2) == 0)
        return escaped_value(text, name, value, bytes);
    *bytes = of_image || ends_with(name, at, "cookie") ? whole_value(text, name, value)
                                                       : strcspn(value, "&,; \t\"'");
    return value;
}

static const char *value_of_header(const char *text, const char *name, const char *at,
                                   size_t *bytes)
{
    const char *value = at + 1 + strspn(at + 1, " \t");

    if (!is_secret_header(name, at))
        return NULL;
    *bytes = whole_value(text, name, value);
    return value;
}

/* The value of what is named before `at`, if that is a secret; NULL. */
static const char *secret_value(const char *text, const char *at, bool sentence, size_t *bytes)
{
    const char *name = at, *value = NULL;

    while (name > text && is_word(name[-1]))
        name--;
    if (*at == '=')
        value = value_of_parameter(text, name, at, sentence, bytes);
    else if (*at == ':')
        value = value_of_header(text, name, at, bytes);
    else if (sentence ? is_password_name(name, at) : is_secret_name(name, at))
        value = value_of_json(at, bytes);
    return value != NULL && *bytes > 0 ? value : NULL;
}

/* The next secret of `text`, which begins at `from`; NULL: there is none. */
static const char *next_secret(const char *text, const char *from, bool sentence, size_t *bytes)
{
    for (const char *at = from; *at != '\0'; at++) {
        const char *uri = *at == ':' || *at == '%' ? behind(at, "://") : NULL;
        const char *found = uri != NULL ? password_of_uri(uri, bytes) : NULL;

        if (found == NULL && strchr("=\":", *at) != NULL)
            found = secret_value(text, at, sentence, bytes);
        if (found != NULL && found >= from)
            return found;
    }
    return NULL;
}

void secret_text_mask(char *out, size_t room_bytes, const char *text)
{
    char *const end = out + room_bytes - 1;
    size_t bytes = 0;

    for (const char *at = text; *at != '\0' && out < end;) {
        const char *secret = next_secret(text, at, false, &bytes);
        size_t plain = secret != NULL ? (size_t)(secret - at) : strlen(at);
        size_t room = (size_t)(end - out), fits = plain < room ? plain : room;

        memcpy(out, at, fits);
        out += fits;
        if (secret == NULL || room - fits < sizeof MASK - 1)
            break;
        out = stpcpy(out, MASK);
        at = secret + bytes;
    }
    *out = '\0';
}

void secret_text_mask_line(char *text, size_t room_bytes)
{
    size_t bytes, length = sizeof MASK - 1;

    for (char *at = text;;) {
        const char *secret = next_secret(text, at, true, &bytes);
        size_t start = secret != NULL ? (size_t)(secret - text) : room_bytes;

        if (secret == NULL)
            return;
        if (start + length >= room_bytes) {
            text[start] = '\0';
            return;
        }
        size_t tail = strlen(secret + bytes), room = room_bytes - 1 - start - length;
        memmove(text + start + length, secret + bytes, tail < room ? tail : room);
        text[start + length + (tail < room ? tail : room)] = '\0';
        memcpy(text + start, MASK, length);
        at = text + start + length;
    }
}
