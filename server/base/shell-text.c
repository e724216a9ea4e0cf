#include "server/base/shell-text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/utf8.h"

static bool is_plain(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("-._/", c));
}

char *shell_text_word(const char *word)
{
    char *clean = utf8_clean(word, strlen(word)), *quoted, *out;
    bool plain = *word != '\0';

    for (const char *c = clean; c != NULL && *c; c++)
        plain = plain && (is_plain(*c) || strchr(",:=@%+", *c));
    if (clean == NULL || plain)
        return clean;
    out = quoted = malloc(4 * strlen(clean) + 3);
    if (quoted) {
        *out++ = '\'';
        for (const char *c = clean; *c; c++) {
            size_t length = *c == '\'' ? 4 : 1;

            memcpy(out, *c == '\'' ? "'\\''" : c, length);
            out += length;
        }
        *out++ = '\'';
        *out = '\0';
    }
    free(clean);
    return quoted;
}

char *shell_text_uri(const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *encoded = malloc(3 * strlen(text) + 1), *out = encoded;

    for (; encoded != NULL && *text; text++) {
        unsigned char byte = (unsigned char)*text;

        if (is_plain(*text) || *text == '~') {
            *out++ = *text;
            continue;
        }
        *out++ = '%';
        *out++ = digits[byte >> 4];
        *out++ = digits[byte & 15];
    }
    if (encoded)
        *out = '\0';
    return encoded;
}
