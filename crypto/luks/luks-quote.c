#include "crypto/luks/luks-quote.h"

#include <string.h>

#include "server/base/utf8.h"

struct luks_quoted luks_quote(const char *text, size_t length_bytes)
{
    struct luks_quoted quoted;

    utf8_show_ascii(quoted.text, sizeof quoted.text, text, strnlen(text, length_bytes));
    return quoted;
}
