/* Typed access to the JSON text of a LUKS2 header, with messages that name the field
 * ("LUKS2 On-Disk Format Specification" 1.1, chapter 3). */
#ifndef NBDCRYPT_LUKS2_JSON_H
#define NBDCRYPT_LUKS2_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "server/base/error.h"

/* `text` ends at a NUL or at length_bytes.  json_object_put() frees *out. */
NODISCARD int luks2_json_parse(struct json_object **out, const char *text, size_t length_bytes,
                               struct error *err);

/* Members of `parent`, borrowed from it; -EINVAL when missing or of another type. */
NODISCARD int luks2_json_object(struct json_object **out, struct json_object *parent,
                                const char *key, struct error *err);
NODISCARD int luks2_json_array(struct json_object **out, struct json_object *parent,
                               const char *key, struct error *err);
NODISCARD int luks2_json_text(const char **out, struct json_object *parent, const char *key,
                              struct error *err);
NODISCARD int luks2_json_number(uint64_t *out, struct json_object *parent, const char *key,
                                struct error *err);
/* 64-bit numbers are decimal text. */
NODISCARD int luks2_json_text_number(uint64_t *out, struct json_object *parent, const char *key,
                                     struct error *err);

/* Names of keyslots, segments, ... are decimal numbers below `limit`, without leading zeros;
 * `what` is for the message. */
NODISCARD int luks2_json_index(unsigned *out, const char *name, unsigned limit, const char *what,
                               struct error *err);

/* Is `text` one of the strings of this array? */
bool luks2_json_array_has(struct json_object *array, const char *text);

#endif
