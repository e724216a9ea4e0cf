/* Tokens of a LUKS2 header in memory: see luks-token.h. */
#include "crypto/luks/luks-token.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/luks/luks-header.h"
#include "crypto/luks/luks-policy.h"
#include "crypto/luks/luks-quote.h"
#include "crypto/luks/luks2-json.h"
#include "server/base/utf8.h"

static int check_number(int token, const struct luks_header *header, struct error *err)
{
    if (header->segment.type == LUKS_TYPE_1)
        return error_set(err, -ENOTSUP, "LUKS1 has no tokens");
    if (token < LUKS_TOKEN_ANY || token >= LUKS_TOKENS_MAX)
        return error_set(err, -EINVAL, "there is no token %d: LUKS2 has tokens 0 to %d", token,
                         LUKS_TOKENS_MAX - 1);
    return 0;
}

bool luks_token_is_there(int token, const struct luks_header *header)
{
    if (header->segment.type != LUKS_TYPE_2)
        return false;
    crypt_token_info info = crypt_token_status(header->library->device, token, NULL);
    return info != CRYPT_TOKEN_INVALID && info != CRYPT_TOKEN_INACTIVE;
}

static int check_there(int token, const struct luks_header *header, struct error *err)
{
    int result = check_number(token, header, err);

    if (result == 0 && !luks_token_is_there(token, header))
        result = error_set(err, -ENOENT, "there is no token %d in this header", token);
    return result;
}

int luks_token_get(char **json, int token, struct luks_header *header, struct error *err)
{
    const char *text = NULL;
    int result = check_there(token, header, err);

    if (result < 0)
        return result;
    result = crypt_token_json_get(header->library->device, token, &text);
    if (result < 0)
        return cryptsetup_library_error(header->library, result, "the token can't be read", err);
    *json = strdup(text);
    return *json != NULL ? 0 : error_no_memory(err, "for a token");
}

bool luks_token_is_keyring(int token, const struct luks_header *header)
{
    const char *type = NULL;

    return header->segment.type == LUKS_TYPE_2 &&
           crypt_token_status(header->library->device, token, &type) == CRYPT_TOKEN_INTERNAL &&
           strcmp(type, "luks2-keyring") == 0;
}

int luks_token_type(char **type, int token, struct luks_header *header, struct error *err)
{
    const char *text = NULL;
    int result = check_there(token, header, err);

    if (result < 0)
        return result;
    (void)crypt_token_status(header->library->device, token, &text);
    *type = text != NULL ? strdup(text) : NULL;
    return *type != NULL ? 0 : error_no_memory(err, "for a token");
}

bool luks_token_opens(int token, int slot, const struct luks_header *header)
{
    return crypt_token_is_assigned(header->library->device, token, slot) == 0;
}

static int refuse_type(int token, const struct luks_header *header, struct error *err)
{
    const char *type = NULL;

    (void)crypt_token_status(header->library->device, token, &type);
    return error_set(err, -ENOTSUP,
                     "token %d is of type '%s', and only luks2-keyring is used here: give the "
                     "passphrase by --key-command, or the folder of plugins by --token-plugins",
                     token, type != NULL ? luks_quote(type, strlen(type)).text : "");
}

int luks_token_keyring(char **description, int token, struct luks_header *header, struct error *err)
{
    struct crypt_token_params_luks2_keyring params = { 0 };
    int result = check_there(token, header, err);

    if (result < 0)
        return result;
    if (!luks_token_is_keyring(token, header))
        return refuse_type(token, header, err);
    result = crypt_token_luks2_keyring_get(header->library->device, token, &params);
    if (result < 0)
        return cryptsetup_library_error(header->library, result, "the token can't be read", err);
    if (utf8_has_control(params.key_description, strlen(params.key_description)))
        return error_set(err, -EPERM, "token %d: the description of its key can't be printed",
                         token);
    *description = strdup(params.key_description);
    return *description != NULL ? 0 : error_no_memory(err, "for a token");
}

/* The library says no more than that it is wrong. */
static int check_json(const char *json, struct error *err)
{
    struct json_object *root = NULL, *keyslots = NULL;
    const char *type = NULL;
    int result = luks2_json_parse(&root, json, strlen(json) + 1, err);

    if (result == 0)
        result = luks2_json_text(&type, root, "type", err);
    if (result == 0)
        result = luks2_json_array(&keyslots, root, "keyslots", err);
    if (result == 0 && type[0] == '\0')
        result = error_set(err, -EINVAL, "its type is empty");
    json_object_put(root);
    return result;
}

/* Every token must name keyslots that are in use, or none. */
static int explain(struct cryptsetup_library *library, int result, struct error *err)
{
    if (result == -ENOSPC || result == -E2BIG)
        return error_set(err, -ENOSPC, "the token does not fit the header");
    if (library->log[0] == '\0' && result == -EINVAL)
        return error_set(
            err, -EINVAL,
            "the header refuses the token: it must be an object with a type and with "
            "the keyslots it is for, which must be in use, and it must fit the header");
    return cryptsetup_library_error(library, result, "the token can't be stored", err);
}

int luks_token_set(int *token, struct luks_header *header, const char *json, bool replace,
                   struct error *err)
{
    struct cryptsetup_library *library = header->library;
    int result = check_number(*token, header, err);

    if (result == 0 && *token != LUKS_TOKEN_ANY && !replace && luks_token_is_there(*token, header))
        result = error_set(err, -EEXIST, "token %d is there already; --force replaces it", *token);
    if (result == 0)
        result = check_json(json, err);
    if (result < 0)
        return result;
    cryptsetup_library_lock();
    result = crypt_token_json_set(library->device, *token, json);
    cryptsetup_library_unlock();
    if (result < 0)
        return explain(library, result, err);
    *token = result;
    return 0;
}

int luks_token_remove(int token, struct luks_header *header, struct error *err)
{
    int result = check_there(token, header, err);

    if (result < 0)
        return result;
    cryptsetup_library_lock();
    result = crypt_token_json_set(header->library->device, token, NULL);
    cryptsetup_library_unlock();
    if (result < 0)
        return cryptsetup_library_error(header->library, result, "the token can't be removed", err);
    return 0;
}
