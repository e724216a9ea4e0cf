#include "server/pki/psk-users.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "server/pki/pki-folder.h"
#include "server/tls/psk-line.h"

#define SHOWN 80 /* bytes of a bad name in a message */

/* Others take the first colon of a line for the end of the name. */
int psk_users_check_user(const char *user, struct error *err)
{
    const char *why = psk_identity_fault(user, strlen(user));

    if (why == NULL && strchr(user, ':') != NULL)
        why = "a ':' ends the name in the file";
    if (why == NULL)
        return 0;
    return error_set(err, -EINVAL, "'%.*s' can't be the name of a user: %s", SHOWN, user, why);
}

/* ---- reading ---- */

/* A user that begins with '#' is in hexadecimal; behind it there is a colon at least. */
static bool is_bad_mark(const char *user, size_t length)
{
    return user[0] == '#' && (length == 1 || length % 2 == 0 ||
                              strspn(user + 1, "0123456789abcdefABCDEF") < length - 1);
}

int psk_users_each(const struct secret *file,
                   int (*visit)(void *context, const struct psk_entry *entry, struct error *err),
                   void *context, struct error *err)
{
    struct psk_line line = { 0 };
    int result = 0;

    while (result == 0 && psk_line_next(file, &line)) {
        struct psk_entry entry = { .user = (const char *)file->data + line.start_bytes,
                                   .user_bytes = line.identity_bytes,
                                   .key_bytes = line.hex_bytes / 2,
                                   .start_bytes = line.start_bytes,
                                   .end_bytes = line.end_bytes };

        if (line.fault != NULL || line.hex_bytes == 0 || is_bad_mark(entry.user, entry.user_bytes))
            return error_set(err, -EINVAL, "line %zu is not USER:KEY with a key in hexadecimal",
                             line.number);
        result = visit(context, &entry, err);
    }
    return result;
}

/* ---- writing ---- */

struct edit {
    const char *user;
    const struct secret *old;
    struct secret *data;
    size_t done_bytes; /* of data */
    bool found;
};

static void edit_append(struct edit *edit, const void *bytes, size_t length)
{
    memcpy(edit->data->data + edit->done_bytes, bytes, length);
    edit->done_bytes += length;
}

/* Keeps the lines of the others. */
static int copy_others(void *context, const struct psk_entry *entry, struct error *err)
{
    struct edit *edit = context;
    size_t length = entry->end_bytes - entry->start_bytes;

    (void)err;
    if (entry->user_bytes == strlen(edit->user) &&
        memcmp(entry->user, edit->user, entry->user_bytes) == 0) {
        edit->found = true;
        return 0;
    }
    edit_append(edit, edit->old->data + entry->start_bytes, length);
    if (edit->data->data[edit->done_bytes - 1] != '\n')
        edit_append(edit, "\n", 1);
    return 0;
}

static int append_key(struct edit *edit, struct error *err)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t key[PSK_USERS_KEY_BYTES];
    int result = gnutls_rnd(GNUTLS_RND_KEY, key, sizeof key);

    if (result < 0)
        return error_set(err, -EIO, "no random numbers: %s", gnutls_strerror(result));
    edit_append(edit, edit->user, strlen(edit->user));
    edit_append(edit, ":", 1);
    for (size_t i = 0; i < sizeof key; i++) {
        edit_append(edit, &digits[key[i] >> 4], 1);
        edit_append(edit, &digits[key[i] & 15], 1);
    }
    edit_append(edit, "\n", 1);
    secret_wipe(key, sizeof key);
    return 0;
}

/* edit->data becomes the file with the new key, or without the old one. */
static int edit_file(struct edit *edit, const struct pki_folder *folder, const char *name,
                     enum psk_users_way way, struct error *err)
{
    size_t most = edit->old->length_bytes + strlen(edit->user) + 2 * PSK_USERS_KEY_BYTES + 3;
    int result = secret_create(&edit->data, most, err);

    if (result == 0)
        result = psk_users_each(edit->old, copy_others, edit, err);
    if (result < 0) {
        error_prefix(err, "'%s/%s' is not a file of pre-shared keys: ", folder->path, name);
        return result;
    }
    if (!edit->found && way == PSK_USERS_REMOVE)
        return error_set(err, -ENOENT, "'%s' has no key in '%s/%s'", edit->user, folder->path,
                         name);
    if (edit->found && way == PSK_USERS_ADD)
        return error_set(err, -EEXIST,
                         "'%s' has a key in '%s/%s' already; give --force to replace it",
                         edit->user, folder->path, name);
    if (way != PSK_USERS_REMOVE)
        result = append_key(edit, err);
    secret_truncate(edit->data, edit->done_bytes);
    return result;
}

static int change_file(const struct pki_folder *folder, const char *name, const char *user,
                       enum psk_users_way way, struct error *err)
{
    struct folder_change change = { .name = name };
    struct secret *old = NULL;
    struct edit edit = { .user = user };
    int result = pki_folder_lock(folder, err);
    bool there = pki_folder_has(folder, name);

    /* A server of another user may read it by its group; nobody else. */
    change.mode = there ? 0660 : 0600;
    change.keep_mode = there;
    if (result == 0)
        result = there ? pki_folder_read(&old, folder, name, PSK_USERS_BYTES_MAX, err)
                       : secret_create(&old, 0, err);
    if (result == 0) {
        edit.old = old;
        result = edit_file(&edit, folder, name, way, err);
    }
    if (result == 0) {
        change.data = edit.data;
        result = pki_folder_replace(folder, &change, 1, err);
    }
    secret_free(edit.data);
    secret_free(old);
    return result;
}

int psk_users_change(const char *path, const char *user, enum psk_users_way way, struct error *err)
{
    struct pki_folder folder = FOLDER_CLOSED;
    char *name = NULL;
    struct stat status;
    /* What a link points to is replaced, not the link. */
    bool is_link = lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
    char *target = is_link ? realpath(path, NULL) : NULL;
    int result = pki_folder_open_parent(&folder, &name, target != NULL ? target : path, err);

    if (result == 0)
        result = change_file(&folder, name, user, way, err);
    pki_folder_close(&folder);
    free(target);
    free(name);
    return result;
}
