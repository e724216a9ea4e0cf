/* What looks like a secret in a text that others read: of URIs (user:password@), values of
 * parameters that are named like secrets, in URIs and in JSON, and of HTTP headers (Authorization:
 * ...). */
#ifndef NBDCRYPT_SECRET_TEXT_H
#define NBDCRYPT_SECRET_TEXT_H

#include <stddef.h>

/* The text with *** in the place of those.  It is cut before what there is no room for; three times
 * its length and 8 bytes are always enough.  Takes neither memory nor a lock. */
void secret_text_mask(char *out, size_t room_bytes, const char *text);
/* A line of a log, where it stands, which is in `room_bytes`.  Sentences name parameters, so what
 * is only named like a secret stays there, unless it is one of an image, or a password. */
void secret_text_mask_line(char *text, size_t room_bytes);

#endif
