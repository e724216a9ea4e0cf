/* The token of an unfinished conversion: see luks-conversion.h. */
#include "crypto/luks/luks-conversion.h"

#include <errno.h>
#include <gcrypt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/luks/luks-header.h"
#include "crypto/luks/luks-token.h"
#include "crypto/luks/luks2-json.h"

#define TYPE "nbdcrypt-convert"
#define DIGEST_BYTES (LUKS_CONVERSION_DIGEST_CHARS / 2)

int luks_conversion_digest(struct luks_conversion *out, const struct secret *volume_key,
                           const void *data, size_t length_bytes, struct error *err)
{
    static const char label[] = TYPE " source";
    uint8_t digest[DIGEST_BYTES];
    gcry_buffer_t parts[] = {
        { .data = volume_key->data, .len = volume_key->length_bytes },
        { .data = (void *)(uintptr_t)label, .len = sizeof label },
        { .data = (void *)(uintptr_t)data, .len = length_bytes },
    };

    if (gcry_md_hash_buffers(GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC, digest, parts,
                             sizeof parts / sizeof parts[0]) != 0)
        return error_set(err, -EIO, "libgcrypt can't make a digest");
    for (size_t i = 0; i < sizeof digest; i++)
        (void)snprintf(out->digest + 2 * i, 3, "%02x", digest[i]);
    return 0;
}

void luks_conversion_json(char out[LUKS_CONVERSION_JSON_BYTES],
                          const struct luks_conversion *conversion)
{
    (void)snprintf(out, LUKS_CONVERSION_JSON_BYTES,
                   "{\"type\":\"" TYPE "\",\"keyslots\":[],\"source\":{\"size\":\"%" PRIu64
                   "\",\"digest\":\"%s\"},\"done\":\"%" PRIu64 "\"}",
                   conversion->size_bytes, conversion->digest, conversion->done_bytes);
}

/* ---- in a header ---- */

bool luks_conversion_is_token(int token, const struct luks_header *header)
{
    const char *type = NULL;

    if (!luks_token_is_there(token, header))
        return false;
    (void)crypt_token_status(header->library->device, token, &type);
    return type != NULL && strcmp(type, TYPE) == 0;
}

static int find(const struct luks_header *header)
{
    for (int token = 0; token < LUKS_TOKENS_MAX; token++)
        if (luks_conversion_is_token(token, header))
            return token;
    return LUKS_TOKEN_ANY;
}

static int parse(struct luks_conversion *out, struct json_object *root)
{
    struct json_object *source;
    const char *digest = NULL;
    int result = luks2_json_object(&source, root, "source", NULL);

    if (result == 0)
        result = luks2_json_text_number(&out->size_bytes, source, "size", NULL);
    if (result == 0)
        result = luks2_json_text(&digest, source, "digest", NULL);
    if (result == 0)
        result = luks2_json_text_number(&out->done_bytes, root, "done", NULL);
    if (result == 0 && (strlen(digest) != LUKS_CONVERSION_DIGEST_CHARS ||
                        strspn(digest, "0123456789abcdef") != LUKS_CONVERSION_DIGEST_CHARS ||
                        out->done_bytes > out->size_bytes))
        result = -EINVAL;
    if (result == 0)
        memcpy(out->digest, digest, LUKS_CONVERSION_DIGEST_CHARS + 1);
    return result;
}

bool luks_conversion_find(struct luks_conversion *out, int *token, struct luks_header *header)
{
    struct json_object *root = NULL;
    char *json = NULL;

    *out = (struct luks_conversion){ 0 };
    *token = find(header);
    if (*token == LUKS_TOKEN_ANY)
        return false;
    int result = luks_token_get(&json, *token, header, NULL);
    if (result == 0)
        result = luks2_json_parse(&root, json, strlen(json) + 1, NULL);
    if (result == 0)
        result = parse(out, root);
    if (result < 0)
        *out = (struct luks_conversion){ 0 };
    json_object_put(root);
    free(json);
    return true;
}

int luks_conversion_record(struct luks_header *header, const struct luks_conversion *conversion,
                           struct error *err)
{
    char json[LUKS_CONVERSION_JSON_BYTES];
    int token = find(header);

    luks_conversion_json(json, conversion);
    return luks_token_set(&token, header, json, true, err);
}

int luks_conversion_remove(struct luks_header *header, struct error *err)
{
    int result = 0;

    for (int token = find(header); token != LUKS_TOKEN_ANY && result == 0; token = find(header))
        result = luks_token_remove(token, header, err);
    return result;
}
