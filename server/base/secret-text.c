#include "server/base/secret-text.h"

#include <ctype.h>
#include <stdbool.h>
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

/* A parameter: its name is from `start` to `end`.  A path is none. */
static bool is_secret_name(const char *start, const char *end)
{
    static const char *const marks[] = { "passw", "passphrase", "secret", "token",
                                         "key",   "auth",       "cookie", "credential" };

    if (ends_with(start, end, "-file") || ends_with(start, end, "keyring"))
        return false;
    for (; start < end; start++)
        for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
            if (strncasecmp(start, marks[i], strlen(marks[i])) == 0)
                return true;
    return false;
}

/* Behind "://": the password of user:password@, whose length is *bytes; NULL: there is none. */
static const char *password_of_uri(const char *at, size_t *bytes)
{
    size_t length = strcspn(at, "/?# \t\"'");
    const char *end = memrchr(at, '@', length), *colon;

    if (end == NULL)
        return NULL;
    colon = memchr(at, ':', (size_t)(end - at));
    if (colon == NULL)
        return NULL;
    *bytes = (size_t)(end - colon) - 1;
    return colon + 1;
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
    *bytes = strcspn(at + 1, "\"");
    return at + 1;
}

/* The value of the parameter whose name ends at `at`, if that is one of a secret; NULL. */
static const char *secret_value(const char *text, const char *at, size_t *bytes)
{
    const char *name = at, *value = at + 1;

    while (name > text && is_word(name[-1]))
        name--;
    if (!is_secret_name(name, at))
        return NULL;
    if (*at == '"')
        value = value_of_json(at, bytes);
    else
        *bytes = strcspn(value, "&,; \t\"'");
    return value != NULL && *bytes > 0 ? value : NULL;
}

/* The next secret of `text`, which begins at `from`; NULL: there is none. */
static const char *next_secret(const char *text, const char *from, size_t *bytes)
{
    for (const char *at = from; *at != '\0'; at++) {
        if (strncmp(at, "://", 3) == 0) {
            const char *found = password_of_uri(at + 3, bytes);

            if (found != NULL)
                return found;
        }
        if (*at != '=' && *at != '"')
            continue;
        const char *value = secret_value(text, at, bytes);
        if (value != NULL)
            return value;
    }
    return NULL;
}

void secret_text_mask(char *out, size_t room_bytes, const char *text)
{
    char *const end = out + room_bytes - 1;
    size_t bytes = 0;

    for (const char *at = text; *at != '\0' && out < end;) {
        const char *secret = next_secret(text, at, &bytes);
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
