/* Keyslots and tokens as text: see header-text.h. */
#include "server/cli/header-text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "server/base/utf8.h"

struct json_object *header_text_member(struct json_object *object, const char *key)
{
    struct json_object *found = NULL;

    (void)json_object_object_get_ex(object, key, &found);
    return found;
}

uint64_t header_text_number(struct json_object *object, const char *key)
{
    return json_object_get_uint64(header_text_member(object, key));
}

/* NULL for null. */
const char *header_text_string(struct json_object *object, const char *key)
{
    return json_object_get_string(header_text_member(object, key));
}

/* Whoever can write to the storage chose this text: no control characters for the terminal. */
void header_text_print_untrusted(const char *from)
{
    for (size_t left = strlen(from); left > 0;) {
        size_t length = utf8_character_bytes(from, left);
        size_t bytes = length > 0 ? length : 1;

        (void)printf("%.*s", (int)bytes, length > 0 ? from : "?");
        from += bytes;
        left -= bytes;
    }
}

void header_text_print_json(struct json_object *object)
{
    printf("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
                                                              JSON_C_TO_STRING_NOSLASHESCAPE));
}

static void print_pbkdf(struct json_object *pbkdf)
{
    header_text_print_untrusted(header_text_string(pbkdf, "type"));
    if (header_text_member(pbkdf, "iterations"))
        printf(" (%s), %" PRIu64 " iterations", header_text_string(pbkdf, "hash"),
               header_text_number(pbkdf, "iterations"));
    else
        printf(", %" PRIu64 " passes over %" PRIu64 " KiB, %" PRIu64 " lanes",
               header_text_number(pbkdf, "time"), header_text_number(pbkdf, "memory-kib"),
               header_text_number(pbkdf, "cpus"));
}

void header_text_print_keyslot(struct json_object *keyslot)
{
    const char *priority = header_text_string(keyslot, "priority");
    char name[32];

    (void)snprintf(name, sizeof name, "Keyslot %" PRIu64 ":", header_text_number(keyslot, "slot"));
    printf("%-17s", name);
    print_pbkdf(header_text_member(keyslot, "pbkdf"));
    printf("; %s, %" PRIu64 " bits", header_text_string(keyslot, "cipher"),
           header_text_number(keyslot, "key-bits"));
    if (strcmp(priority, "normal") != 0)
        printf("; priority %s", priority);
    if (!json_object_get_boolean(header_text_member(keyslot, "volume-key")))
        printf("; not of the volume key");
    (void)putchar('\n');
}

void header_text_print_token(struct json_object *token)
{
    struct json_object *slots = header_text_member(token, "keyslots");
    char name[32];

    (void)snprintf(name, sizeof name, "Token %" PRIu64 ":", header_text_number(token, "token"));
    printf("%-17s", name);
    header_text_print_untrusted(
        header_text_string(token, "type") != NULL ? header_text_string(token, "type") : "?");
    for (size_t i = 0; i < json_object_array_length(slots); i++)
        printf("%s %" PRIu64, i == 0 ? ", for keyslot" : ",",
               json_object_get_uint64(json_object_array_get_idx(slots, i)));
    (void)putchar('\n');
}
