#include "server/base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool utf8_is_control(char byte)
{
    return (unsigned char)byte < ' ' || byte == 0x7f;
}

bool utf8_has_control(const char *text, size_t length_bytes)
{
    for (size_t i = 0; i < length_bytes; i++)
        if (utf8_is_control(text[i]))
            return true;
    return false;
}

void utf8_show_ascii(char *out, size_t out_bytes, const void *text, size_t length_bytes)
{
    const char *from = text;
    size_t used = 0;

    for (; used < length_bytes && used < out_bytes - 1; used++)
        out[used] = (char)(from[used] >= ' ' && from[used] <= '~' ? from[used] : '?');
    out[used] = '\0';
}

size_t utf8_sequence_bytes(const char *characters, size_t left)
{
    const unsigned char *text = (const unsigned char *)characters;
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    uint32_t code = text[0];

    if (length == 1)
        return code != 0 ? 1 : 0;
    if (code < 0xc2 || code > 0xf4 || length > left)
        return 0;
    code &= 0xffu >> (length + 1);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3fu);
    }
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0;
    return length;
}

static bool is_c1_control(const char *text)
{
    return (unsigned char)text[0] == 0xc2 && (unsigned char)text[1] < 0xa0;
}

size_t utf8_character_bytes(const char *text, size_t left)
{
    size_t length = utf8_sequence_bytes(text, left);

    if (utf8_is_control(text[0]) || (length == 2 && is_c1_control(text)))
        return 0;
    return length;
}

bool utf8_is_clean(const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        size_t length = utf8_character_bytes(text, left);

        if (length == 0)
            return false;
        text += length;
        left -= length;
    }
    return true;
}

char *utf8_clean(const char *text, size_t length_bytes)
{
    char *copy = malloc(length_bytes + 1);

    if (copy == NULL)
        return NULL;
    for (size_t at = 0; at < length_bytes;) {
        size_t length = utf8_character_bytes(text + at, length_bytes - at);

        if (length == 0)
            copy[at++] = '?';
        for (; length > 0; length--, at++)
            copy[at] = text[at];
    }
    copy[length_bytes] = '\0';
    return copy;
}

size_t utf8_columns(const char *text)
{
    size_t columns = 0;

    for (; *text; text++)
        columns += (*text & 0xc0) != 0x80;
    return columns;
}
