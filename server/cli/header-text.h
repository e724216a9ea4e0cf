/* Keyslots and tokens of a header as lines of text, from the JSON of crypto/luks/luks-describe.h,
 * so that text and --json tell the same. */
#ifndef NBDCRYPT_HEADER_TEXT_H
#define NBDCRYPT_HEADER_TEXT_H

#include <stdint.h>

#include <json-c/json.h>

/* Members of an object, borrowed from it; NULL or 0 when there are none, or they are null. */
struct json_object *header_text_member(struct json_object *object, const char *key);
uint64_t header_text_number(struct json_object *object, const char *key);
const char *header_text_string(struct json_object *object, const char *key);

/* Whoever can write to the storage chose this text: '?' instead of control characters. */
void header_text_print_untrusted(const char *from);

/* As --json prints it. */
void header_text_print_json(struct json_object *object);

/* One line each, of the arrays "keyslots" and "tokens". */
void header_text_print_keyslot(struct json_object *keyslot);
void header_text_print_token(struct json_object *token);

#endif
