/* Where a passphrase comes from: see key-source.h. */
#include "server/keys/key-source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crypto/luks/luks-token.h"
#include "server/keys/key-command.h"
#include "server/keys/key-keyring.h"
#include "server/keys/key-terminal.h"
#include "server/keys/private-file.h"
#include "server/base/argv.h"
#include "server/base/open-error.h"
#include "server/sandbox/sandbox.h"

#define FIRST_BYTES 4096u
#define COMMAND_TIMEOUT_MS 60000u
#define LENT_SECONDS 10

/* ---- a file ---- */

/* Twice the room; the old memory is wiped. */
static int grow(struct secret **secret, size_t used_bytes, struct error *err)
{
    struct secret *larger = NULL;
    int result = secret_create(&larger, (*secret)->length_bytes * 2, err);

    if (result < 0)
        return result;
    memcpy(larger->data, (*secret)->data, used_bytes);
    secret_free(*secret);
    *secret = larger;
    return 0;
}

/* 0: something, or the end, is there before `until`; 0 is never. */
static int wait_until(int fd, time_t until, struct error *err)
{
    struct pollfd poller = { .fd = fd, .events = POLLIN };
    time_t left = until - time(NULL);
    int ready = 0;

    if (until == 0)
        return 0;
    for (; left > 0 && (ready = poll(&poller, 1, (int)left * 1000)) < 0 && errno == EINTR;
         left = until - time(NULL))
        continue;
    if (ready == 1)
        return 0;
    return error_set(err, -ETIMEDOUT, "it did not end within %d s", LENT_SECONDS);
}

/* To the end of the file; it may be a pipe. */
static int read_all(struct secret **secret, int fd, size_t *used_bytes, time_t until,
                    struct error *err)
{
    for (;;) {
        size_t room_bytes = (*secret)->length_bytes - *used_bytes;
        int waited = wait_until(fd, until, err);

        if (waited < 0)
            return waited;
        ssize_t got = read(fd, (*secret)->data + *used_bytes, room_bytes);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int code = -errno;

            return error_set(err, code, "%s", strerror(-code));
        }
        *used_bytes += (size_t)got;
        if (got == 0)
            return 0;
        if (*used_bytes > KEY_SOURCE_BYTES_MAX)
            return error_set(err, -EFBIG, "it is larger than %u MiB",
                             KEY_SOURCE_BYTES_MAX / (1024u * 1024u));
        if (*used_bytes == (*secret)->length_bytes) {
            int result = grow(secret, *used_bytes, err);

            if (result < 0)
                return result;
        }
    }
}

static int read_fd(struct secret **out, int fd, time_t until, struct error *err)
{
    struct secret *secret = NULL;
    size_t used_bytes = 0;
    int result = secret_create(&secret, FIRST_BYTES, err);

    if (result == 0)
        result = read_all(&secret, fd, &used_bytes, until, err);
    if (result == 0 && used_bytes == 0)
        result = error_set(err, -EINVAL, "it is empty");
    if (result < 0) {
        secret_free(secret);
        return result;
    }
    secret_truncate(secret, used_bytes);
    *out = secret;
    return 0;
}

static int read_file(struct secret **out, const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int result;

    if (fd < 0) {
        result = -errno;
        return error_set(err, result, "key file '%s' can't be opened: %s", path,
                         result == -EACCES && sandbox_hides(path, SANDBOX_READ)
                             ? "it is outside of what the sandbox of this server lets be read; its "
                               "key-files and configuration have their folders there"
                             : open_error(result, path).text);
    }
    private_file_warn(fd, path);
    result = read_fd(out, fd, 0, err);
    if (result < 0)
        error_prefix(err, "key file '%s' can't be used: ", path);
    (void)close(fd);
    return result;
}

/* A file of the folder that systemd made for this service (systemd.exec(5), "CREDENTIALS"). */
static int read_credential(struct secret **out, const struct key_source *source, struct error *err)
{
    const char *name = source->credential;
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    char path[4096];

    if (folder == NULL || !*folder)
        return error_set(err, -ENOENT,
                         "credential '%s': there is no CREDENTIALS_DIRECTORY in the environment; "
                         "systemd sets it for a unit with LoadCredential=%s:FILE",
                         name, name);
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return error_set(err, -ENAMETOOLONG, "credential '%s': its path is too long", name);
    return read_file(out, path, err);
}

/* A descriptor; -1: none is wanted. */
static int open_input(int *input, const char *path, struct error *err)
{
    *input = -1;
    if (path == NULL)
        return 0;
    if (strcmp(path, "-") == 0)
        *input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    else
        *input = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (*input < 0)
        return error_set(err, -errno, "its standard input '%s' can't be opened: %s", path,
                         strerror(errno));
    return 0;
}

static int read_command(struct secret **out, const struct key_source *source, struct error *err)
{
    struct key_command_limits limits = { .timeout_ms = COMMAND_TIMEOUT_MS,
                                         .output_bytes_max = KEY_SOURCE_BYTES_MAX,
                                         .input = -1 };
    char **words = NULL;
    int result = argv_split(&words, source->command, err);

    if (result == 0)
        result = open_input(&limits.input, source->command_input, err);
    if (result == 0)
        result = key_command_read(out, words, &limits, err);
    if (limits.input >= 0)
        (void)close(limits.input);
    argv_free(words);
    if (result < 0)
        error_prefix(err, "key command: ");
    return result;
}

bool key_source_is_handed_down(unsigned fd)
{
    int flags = fcntl((int)fd, F_GETFD);

    return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

/* Whoever lent a pipe may write nothing to it, or never close it. */
static int read_lent(struct secret **out, int fd, struct error *err)
{
    int result = read_fd(out, fd, time(NULL) + LENT_SECONDS, err);

    if (result < 0)
        error_prefix(err, "the descriptor of the key can't be used: ");
    return result;
}

#define NOTED_FDS 1024u
static atomic_bool was_read[NOTED_FDS];

/* It was there at the start, but a second reader finds it closed, and maybe in use by something
 * else. */
static int read_descriptor(struct secret **out, const struct key_source *source, struct error *err)
{
    unsigned fd = source->fd;
    int result;

    if (source->fd_is_lent)
        return read_lent(out, (int)fd, err);
    if (!key_source_is_handed_down(fd))
        return error_set(err, -EBADF,
                         "file descriptor %u can't be used as the key: it has been read and "
                         "closed already",
                         fd);
    result = read_fd(out, (int)fd, 0, err);
    if (fd < NOTED_FDS)
        atomic_store(&was_read[fd], true);
    (void)close((int)fd); /* a pipe would tell whoever fills it that the key is still wanted */
    if (result < 0)
        error_prefix(err, "file descriptor %u can't be used as the key: ", fd);
    return result;
}

static int read_stdin(struct secret **out, struct error *err)
{
    int result = read_fd(out, STDIN_FILENO, 0, err);

    if (result < 0)
        error_prefix(err, "standard input can't be used as the key: ");
    return result;
}

static const char *path_of(const struct key_source *source)
{
    return source->file != NULL ? source->file : source->volume_key_file;
}

static int read_path(struct secret **out, const struct key_source *source, struct error *err)
{
    return strcmp(path_of(source), "-") == 0 ? read_stdin(out, err)
                                             : read_file(out, path_of(source), err);
}

static int read_keyring(struct secret **out, const struct key_source *source, struct error *err)
{
    return key_keyring_read(out, source->keyring, err);
}

/* volume-key.h looks at the header. */
static int read_nothing_yet(struct secret **out, const struct key_source *source, struct error *err)
{
    (void)source;
    return secret_create(out, 0, err);
}

/* ---- which of them ---- */

/* Where one of the options of KEY_SOURCE_ROWS is a source of its own. */
struct key_kind {
    const char *name;
    size_t offset; /* in struct key_source: a text, but for key-fd */
    int (*read)(struct secret **out, const struct key_source *source, struct error *err);
};

static const struct key_kind key_kinds[] = {
    { "key-file", offsetof(struct key_source, file), read_path },
    { "key-fd", offsetof(struct key_source, fd), read_descriptor },
    { "key-command", offsetof(struct key_source, command), read_command },
    { "key-credential", offsetof(struct key_source, credential), read_credential },
    { "key-keyring", offsetof(struct key_source, keyring), read_keyring },
    { "volume-key-file", offsetof(struct key_source, volume_key_file), read_path },
    { "token", offsetof(struct key_source, token), read_nothing_yet },
    { 0 },
};

static bool is_given(const struct key_source *source, const struct key_kind *kind)
{
    const char *field = (const char *)source + kind->offset;

    if (kind->offset == offsetof(struct key_source, fd))
        return *(const unsigned *)field != 0;
    return *(const char *const *)field != NULL;
}

/* From `kind` on; its name is NULL at the end. */
static const struct key_kind *find_given(const struct key_source *source,
                                         const struct key_kind *kind)
{
    while (kind->name != NULL && !is_given(source, kind))
        kind++;
    return kind;
}

const char *key_source_given(const struct key_source *source)
{
    return find_given(source, key_kinds)->name;
}

bool key_source_is_stdin(const struct key_source *source)
{
    const char *path = source->command != NULL ? source->command_input : path_of(source);

    return path != NULL && strcmp(path, "-") == 0;
}

bool key_source_is_typed(const struct key_source *source)
{
    return key_source_given(source) == NULL && isatty(STDIN_FILENO);
}

int key_source_token(int *token, const struct key_source *source, struct error *err)
{
    char *end = NULL;
    unsigned long number = strtoul(source->token, &end, 10);

    if (strcmp(source->token, "any") == 0) {
        *token = LUKS_TOKEN_ANY;
        return 0;
    }
    if (source->token[0] < '0' || source->token[0] > '9' || *end || number >= LUKS_TOKENS_MAX)
        return error_set(err, -EINVAL, "token '%s' is neither any nor a number from 0 to %d",
                         source->token, LUKS_TOKENS_MAX - 1);
    *token = (int)number;
    return 0;
}

static int check_token(const struct key_source *source, const char *prefix, struct error *err)
{
    int token;
    int result = key_source_token(&token, source, err);

    if (result < 0)
        error_prefix(err, "%s", prefix);
    if (result == 0 && source->token_plugins != NULL && source->token_plugins[0] != '/')
        return error_set(err, -EINVAL,
                         "%stoken-plugins '%s': give the whole path of the folder, from / on",
                         prefix, source->token_plugins);
    if (result < 0 || (source->offset_bytes == 0 && source->size_bytes == 0))
        return result;
    return error_set(err, -EINVAL, "%s%s is not for a key that %stoken names", prefix,
                     source->offset_bytes > 0 ? "key-offset" : "key-size", prefix);
}

/* One that has been read is named rightly, too, when a configuration is read again. */
static int check_descriptor(const struct key_source *source, const char *prefix, struct error *err)
{
    unsigned fd = source->fd;

    if (fd == 0 || source->fd_is_lent || key_source_is_handed_down(fd) ||
        (fd < NOTED_FDS && atomic_load(&was_read[fd])))
        return 0;
    return error_set(err, -EBADF,
                     "%skey-fd %u: %s: whoever starts this program has to open it, as a "
                     "shell does with %u<FILE",
                     prefix, fd, strerror(EBADF), fd);
}

int key_source_check(const struct key_source *source, const char *prefix, struct error *err)
{
    const struct key_kind *kind = find_given(source, key_kinds);
    const struct key_kind *second = kind->name != NULL ? find_given(source, kind + 1) : kind;
    char **words = NULL;
    int result = 0;

    if (second->name != NULL)
        return error_set(err, -EINVAL, "%s%s and %s%s can't both be used: leave out one of the two",
                         prefix, kind->name, prefix, second->name);
    if (kind->name == NULL && (source->offset_bytes > 0 || source->size_bytes > 0))
        return error_set(err, -EINVAL, "%s%s is for a key that is not typed: give %skey-file, too",
                         prefix, source->offset_bytes > 0 ? "key-offset" : "key-size", prefix);
    if (path_of(source) != NULL && !*path_of(source))
        return error_set(err, -EINVAL, "%s%s is empty: give the name of a file, or leave it out",
                         prefix, kind->name);
    if (source->command_input != NULL && source->command == NULL)
        return error_set(err, -EINVAL,
                         "%skey-command-input is for a program: give %skey-command, too", prefix,
                         prefix);
    if (source->credential != NULL && (!*source->credential || strchr(source->credential, '/')))
        return error_set(err, -EINVAL,
                         "%skey-credential '%s': a credential has a name without a slash", prefix,
                         source->credential);
    result = check_descriptor(source, prefix, err);
    if (result < 0)
        return result;
    if (source->keyring != NULL && !*source->keyring)
        return error_set(err, -EINVAL, "%skey-keyring: the description is empty", prefix);
    if (source->token_plugins != NULL && source->token == NULL)
        return error_set(err, -EINVAL,
                         "%stoken-plugins is for a key that a token names: give %stoken, too",
                         prefix, prefix);
    if (source->token)
        return check_token(source, prefix, err);
    if (source->command)
        result = argv_split(&words, source->command, err);
    argv_free(words);
    if (result < 0)
        error_prefix(err, "%skey-command: ", prefix);
    return result;
}

/* --key-offset and --key-size. */
static int cut(struct secret *secret, const struct key_source *source, struct error *err)
{
    uint64_t left_bytes;

    if (source->offset_bytes >= secret->length_bytes)
        return error_set(err, -EINVAL,
                         "the key has %zu bytes: key-offset %llu leaves nothing of it",
                         secret->length_bytes, (unsigned long long)source->offset_bytes);
    left_bytes = secret->length_bytes - source->offset_bytes;
    if (source->size_bytes > left_bytes)
        return error_set(err, -EINVAL, "the key has %llu bytes%s, fewer than key-size %llu",
                         (unsigned long long)left_bytes,
                         source->offset_bytes > 0 ? " behind key-offset" : "",
                         (unsigned long long)source->size_bytes);
    if (source->size_bytes > 0)
        left_bytes = source->size_bytes;
    memmove(secret->data, secret->data + source->offset_bytes, left_bytes);
    secret_truncate(secret, left_bytes);
    return 0;
}

int key_source_read(struct secret **out, const struct key_source *source, const char *image,
                    bool confirm, struct error *err)
{
    const struct key_kind *kind = find_given(source, key_kinds);
    struct secret *secret = NULL;
    int result;

    if (key_source_is_typed(source))
        return key_terminal_ask(out, image, confirm, err);
    if (kind->name == NULL)
        return error_set(err, -ENOTTY,
                         "no passphrase for '%s': standard input is not a terminal; give "
                         "--key-file FILE, or --key-file - to read it from there",
                         image);
    result = kind->read(&secret, source, err);
    if (result == 0 && source->token == NULL)
        result = cut(secret, source, err);
    if (result < 0) {
        secret_free(secret);
        return result;
    }
    *out = secret;
    return 0;
}
