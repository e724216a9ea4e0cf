#include "server/tls/psk-line.h"

#include <string.h>

#include "server/base/utf8.h"

static bool is_hex(const char *text, size_t length_bytes)
{
    for (size_t i = 0; i < length_bytes; i++) {
        if (memchr("0123456789abcdefABCDEF", text[i], 22) == NULL)
            return false;
    }
    return length_bytes % 2 == 0;
}

/* `text` without what ends the line. */
static const char *parse(struct psk_line *line, const char *text, size_t length_bytes)
{
    /* The last colon: an identity may hold some, a key can't. */
    const char *colon = memrchr(text, ':', length_bytes);

    if (colon == NULL)
        return "there is no colon between identity and key";
    line->identity_bytes = (size_t)(colon - text);
    line->hex_bytes = length_bytes - line->identity_bytes - 1;
    line->hex_at_bytes = line->start_bytes + line->identity_bytes + 1;
    if (line->identity_bytes == 0)
        return "there is no identity before the colon";
    return is_hex(colon + 1, line->hex_bytes) ? NULL : "the key is not hexadecimal";
}

bool psk_line_next(const struct secret *file, struct psk_line *line)
{
    const char *text = (const char *)file->data;

    while (line->end_bytes < file->length_bytes) {
        size_t start = line->end_bytes, left = file->length_bytes - start;
        const char *newline = memchr(text + start, '\n', left);
        size_t length = newline != NULL ? (size_t)(newline - text) - start : left;

        *line = (struct psk_line){ .number = line->number + 1,
                                   .start_bytes = start,
                                   .end_bytes = start + length + (newline != NULL) };
        while (length > 0 && (text[start + length - 1] == '\r' || text[start + length - 1] == ' '))
            length--;
        if (length == 0)
            continue;
        line->fault = parse(line, text + start, length);
        return true;
    }
    return false;
}

const char *psk_identity_fault(const char *identity, size_t length_bytes)
{
    char text[PSK_IDENTITY_BYTES_MAX + 1];

    if (length_bytes == 0)
        return "it is empty";
    if (length_bytes > PSK_IDENTITY_BYTES_MAX)
        return "it has more than 128 bytes";
    memcpy(text, identity, length_bytes);
    text[length_bytes] = '\0';
    if (strlen(text) < length_bytes || !utf8_is_clean(text))
        return "it has control characters, or is not UTF-8";
    if (text[0] == '#')
        return "a '#' in front is a mark in the file: what is behind it would be hexadecimal";
    if (text[0] == ' ' || text[length_bytes - 1] == ' ')
        return "it begins or ends with a blank";
    return NULL;
}
