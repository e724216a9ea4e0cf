#include "server/volume/volume-key.h"

#include <errno.h>
#include <stdlib.h>

#include "crypto/luks/luks-keyslot.h"
#include "crypto/luks/luks-token-plugin.h"
#include "crypto/luks/luks-token.h"
#include "crypto/luks/luks-conversion.h"
#include "crypto/luks/luks-zero-holes.h"
#include "server/base/event.h"
#include "server/base/log.h"
#include "server/keys/key-keyring.h"
#include "server/keys/key-terminal.h"
#include "server/keys/wait-notice.h"

#define KEYSLOTS_MAX 32

static int accept_volume_key(struct secret **out, struct luks_header *header, const char *path,
                             const struct secret *key, struct error *err)
{
    int result = luks_keyslot_check_volume_key(header, key, err);

    if (result == -EACCES)
        return error_set(err, result, "the volume key of '%s' is not the one of this volume", path);
    if (result < 0) {
        error_prefix(err, "the volume key of '%s': ", path);
        return result;
    }
    return secret_copy(out, key->data, key->length_bytes, err);
}

static int open_keyslot(struct secret **out, int *slot, struct luks_header *header,
                        const struct secret *passphrase, struct error *err)
{
    struct wait_notice notice;

    wait_notice_begin(&notice, "Deriving the key");
    int result = luks_keyslot_open(out, slot, header, passphrase, err);
    wait_notice_end(&notice);
    return result;
}

/* ---- tokens ---- */

/* By the keyslots that the token is for, or the one in *slot. */
static int open_assigned(struct secret **out, int *slot, struct luks_header *header, int token,
                         const struct secret *passphrase, struct error *err)
{
    int only = *slot;
    int result = only == LUKS_KEYSLOT_ANY
                     ? error_set(err, -ENOENT, "it is for no keyslot")
                     : error_set(err, -ENOENT, "it is not for keyslot %d", only);

    for (int i = 0; i < KEYSLOTS_MAX; i++) {
        if ((only != LUKS_KEYSLOT_ANY && only != i) || !luks_token_opens(token, i, header))
            continue;
        *slot = i;
        result = open_keyslot(out, slot, header, passphrase, err);
        if (result != -EACCES)
            return result;
    }
    return result;
}

/* Of a plugin in the folder `plugins`, or else of the kernel's keyrings. */
static int open_by_one_token(struct secret **out, int *slot, struct luks_header *header, int token,
                             const char *plugins, struct error *err)
{
    struct secret *passphrase = NULL;
    char *description = NULL;
    bool plugin = plugins != NULL && luks_token_is_there(token, header) &&
                  !luks_token_is_keyring(token, header);
    int result = plugin ? 0 : luks_token_keyring(&description, token, header, err);

    if (result < 0)
        return result; /* it names the token */
    result = plugin ? luks_token_plugin_read(&passphrase, token, header, plugins, err)
                    : key_keyring_read(&passphrase, description, err);
    if (result == 0)
        result = open_assigned(out, slot, header, token, passphrase, err);
    if (result < 0)
        error_prefix(err, "token %d: ", token);
    free(description);
    secret_free(passphrase);
    return result;
}

static int open_by_token(struct secret **out, int *slot, struct luks_header *header,
                         const struct key_source *source, struct error *err)
{
    const char *plugins = source->token_plugins;
    int token, only = *slot;
    int result = key_source_token(&token, source, err);

    if (result < 0 || token != LUKS_TOKEN_ANY)
        return result < 0 ? result : open_by_one_token(out, slot, header, token, plugins, err);
    result = error_set(err, -ENOENT, "the header has no token%s",
                       plugins != NULL ? "" : " of type luks2-keyring");
    for (token = 0; token < LUKS_TOKENS_MAX; token++) {
        if (plugins != NULL ? !luks_token_is_there(token, header)
                            : !luks_token_is_keyring(token, header))
            continue;
        if (luks_zero_holes_is_token(token, header) ||
            luks_conversion_is_token(token, header)) /* they open nothing */
            continue;
        *slot = only;
        result = open_by_one_token(out, slot, header, token, plugins, err);
        if (result == 0)
            return 0;
    }
    return result;
}

/* ---- all of them ---- */

int volume_key_open(struct secret **out, int *slot, struct luks_header *header,
                    const struct key_source *source, const struct secret *key, struct error *err)
{
    if (source->volume_key_file)
        return accept_volume_key(out, header, source->volume_key_file, key, err);
    if (source->token)
        return open_by_token(out, slot, header, source, err);
    return open_keyslot(out, slot, header, key, err);
}

/* One that is typed may be mistyped. */
static int read_and_open(struct secret **out, struct secret **key, int *slot,
                         struct luks_header *header, const struct key_source *source,
                         const char *image, struct error *err)
{
    unsigned tries_left = key_source_is_typed(source) ? KEY_TERMINAL_TRIES : 1;
    int only = *slot;

    for (;;) {
        int result = key_source_read(key, source, image, false, err);
        if (result < 0)
            return result;
        *slot = only;
        result = volume_key_open(out, slot, header, source, *key, err);
        if (result < 0)
            error_prefix(err, "image '%s': ", image);
        if (result != -EACCES || --tries_left == 0)
            return result;
        log_warning("%s; try again", err->text);
        secret_free(*key);
        *key = NULL;
    }
}

static const char *source_of(const struct key_source *source)
{
    const char *given = key_source_given(source);

    return given != NULL ? given : "the terminal";
}

int volume_key_read(struct secret **out, int *slot, struct luks_header *header,
                    const struct key_source *source, const char *image, struct error *err)
{
    struct secret *key = NULL;
    struct error why = { "" };
    int result = read_and_open(out, &key, slot, header, source, image, &why);

    secret_free(key);
    if (result < 0)
        error_set(err, result, "%s", why.text);
    else
        error_set(&why, 0, "image '%s' by %s", image, source_of(source));
    EVENT(.type = result < 0 ? "key.failed" : "key.used", .reason = why.text);
    return result;
}

int volume_key_ask(struct secret **key, int slot, struct luks_header *header,
                   const struct key_source *source, const char *image, struct error *err)
{
    struct secret *volume_key = NULL;
    int result;

    if (!key_source_is_typed(source))
        return key_source_read(key, source, image, false, err);
    result = read_and_open(&volume_key, key, &slot, header, source, image, err);
    secret_free(volume_key);
    return result;
}

int volume_key_check_slot(const struct key_source *source, int slot, struct error *err)
{
    if (source->volume_key_file != NULL && slot != LUKS_KEYSLOT_ANY)
        return error_set(err, -EINVAL, "--volume-key-file needs no keyslot: leave out --slot");
    return 0;
}
