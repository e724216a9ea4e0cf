/* Small things on JSON, for replies: where there is no memory, a member is left out. */
#ifndef NBDCRYPT_CONTROL_JSON_H
#define NBDCRYPT_CONTROL_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Both consume `value`; NULL is null. */
void control_add(struct json_object *to, const char *key, struct json_object *value);
void control_append(struct json_object *to, struct json_object *value);
/* NULL: null. */
void control_add_text(struct json_object *to, const char *key, const char *text);
void control_add_number(struct json_object *to, const char *key, uint64_t number);
void control_add_flag(struct json_object *to, const char *key, bool flag);
/* RFC 3339, UTC, with milliseconds. */
void control_add_time(struct json_object *to, const char *key, const struct timespec *time);
/* {"key": value}; consumes `value`. */
struct json_object *control_with(const char *key, struct json_object *value);

/* NULL, false or `otherwise`: there is none of that type. */
const char *control_text(struct json_object *from, const char *key);
bool control_flag(struct json_object *from, const char *key);
int64_t control_number(struct json_object *from, const char *key, int64_t otherwise);
struct json_object *control_member(struct json_object *from, const char *key);

#endif
