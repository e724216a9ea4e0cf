#include "server/base/log-text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "server/base/utf8.h"

/* U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069: marks, line and paragraph separator,
 * embeddings, overrides, isolates (Unicode 15, sections 23.2 and 5.8). */
static bool moves_text(const unsigned char *at, size_t length_bytes)
{
    if (length_bytes != 3 || at[0] != 0xe2)
        return false;
    if (at[1] == 0x80)
        return at[2] == 0x8e || at[2] == 0x8f || (at[2] >= 0xa8 && at[2] <= 0xae);
    return at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9;
}

static size_t put_escaped(char *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";

    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 15];
    return LOG_TEXT_GROWTH;
}

size_t log_text_escape(char *out, const char *text)
{
    size_t used = 0, left = strlen(text);

    while (left > 0) {
        size_t length = utf8_character_bytes(text, left);
        size_t bytes = length > 0 ? length : 1;

        if (length > 0 && !moves_text((const unsigned char *)text, length)) {
            memcpy(out + used, text, length);
            used += length;
        } else {
            for (size_t i = 0; i < bytes; i++)
                used += put_escaped(out + used, (unsigned char)text[i]);
        }
        text += bytes;
        left -= bytes;
    }
    return used;
}
