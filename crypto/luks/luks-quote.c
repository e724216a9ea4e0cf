#include "crypto/luks/luks-quote.h"

#include <stdbool.h>

struct luks_quoted luks_quote(const char *text, size_t length_bytes)
{
    struct luks_quoted quoted;
    size_t used = 0;

    while (used < length_bytes && used < sizeof quoted.text - 1 && text[used] != '\0') {
        bool shown = text[used] >= ' ' && text[used] <= '~';

        quoted.text[used] = shown ? text[used] : '?';
        used++;
    }
    quoted.text[used] = '\0';
    return quoted;
}
