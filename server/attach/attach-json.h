/* Devices that are attached, for programs and for people. */
#ifndef NBDCRYPT_ATTACH_JSON_H
#define NBDCRYPT_ATTACH_JSON_H

#include <stdbool.h>

#include <json-c/json.h>

/* One object; the caller's. */
struct json_object *attach_json(unsigned index);
/* All of them, in the order of their numbers. */
struct json_object *attach_json_all(void);

/* After `attach`: its path, or the object with "changed". */
void attach_json_print_one(unsigned index, bool json, bool changed);

#endif
