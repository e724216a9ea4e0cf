/* What a header says, shown in a message. */
#ifndef NBDCRYPT_LUKS_QUOTE_H
#define NBDCRYPT_LUKS_QUOTE_H

#include <stddef.h>

/* A copy of a header's text with what can't be shown replaced by '?', for messages. */
struct luks_quoted {
    char text[64];
};
struct luks_quoted luks_quote(const char *text, size_t length_bytes);

#endif
