/* Where a key comes from: a passphrase from a file, standard input, a descriptor, another program,
 * a credential of systemd, the kernel's keyring or a person at the terminal; or the volume key
 * itself from a file.  One table of options for all commands. */
#ifndef NBDCRYPT_KEY_SOURCE_H
#define NBDCRYPT_KEY_SOURCE_H

#include <stdbool.h>

#include "crypto/secret.h"
#include "server/base/params.h"

/* What cryptsetup reads at most from a key file. */
#define KEY_SOURCE_BYTES_MAX (8u * 1024u * 1024u)

/* All 0: the terminal is asked.  The strings are those of the command line. */
struct key_source {
    const char *file;    /* a path, or "-" for standard input */
    const char *command; /* a program and its arguments, see argv.h */
    const char *
        command_input; /* what it finds on standard input: a path, or "-" for ours; NULL: nothing */
    const char *credential; /* the name of one */
    const char *keyring; /* the description of a key of type "user" or "logon" that can be read */
    const char *volume_key_file; /* a path, or "-": holds no passphrase, but the volume key */
    const char *token;           /* "any" or the number of a token of the header */
    const char *token_plugins;   /* a folder; NULL: no code is loaded for tokens */
    unsigned fd;                 /* a file descriptor from 3 on; 0: none */
    bool fd_is_lent;             /* it is ours already, and whoever has it closes it */
    uint64_t offset_bytes;       /* what is in front of it is not part of the key */
    uint64_t size_bytes;         /* 0: to the end */
};

/* The rows; `target` has a struct key_source as its member `field`; `prefix` is "" or "new-";
 * `what` begins the help of --key-file; `...` are further members of each row. */
#define KEY_SOURCE_ROWS(prefix, target, field, what, ...)                                       \
    PARAM_AT(offsetof(target, field.file), prefix "key-file", STRING, "FILE",                   \
             what ": the whole file, newlines included; - is standard input (default: ask on "  \
                  "the terminal)",                                                              \
             __VA_ARGS__),                                                                      \
        PARAM_AT(                                                                               \
            offsetof(target, field.command), prefix "key-command", STRING, "COMMAND",           \
            "... or what this program prints: words, with quotes as in a shell, but no shell "  \
            "is started",                                                                       \
            __VA_ARGS__),                                                                       \
        PARAM_AT(offsetof(target, field.command_input), prefix "key-command-input", STRING,     \
                 "FILE",                                                                        \
                 "what that program finds on its standard input, where it finds nothing else",  \
                 __VA_ARGS__),                                                                  \
        PARAM_AT(offsetof(target, field.credential), prefix "key-credential", STRING, "NAME",   \
                 "... or this credential of a systemd service (LoadCredential=)", __VA_ARGS__), \
        PARAM_AT(offsetof(target, field.keyring), prefix "key-keyring", STRING, "DESCRIPTION",  \
                 "... or this user key of the kernel's keyrings", __VA_ARGS__),                 \
        PARAM_AT(offsetof(target, field.fd), prefix "key-fd", UINT, "N",                        \
                 "... or what is read from this file descriptor", .min = 3, .max = 1048576,     \
                 __VA_ARGS__),                                                                  \
        PARAM_AT(offsetof(target, field.offset_bytes), prefix "key-offset", SIZE, "BYTES",      \
                 "leave out so much at the start of the key", __VA_ARGS__),                     \
        PARAM_AT(offsetof(target, field.size_bytes), prefix "key-size", SIZE, "BYTES",          \
                 "take so much of the key (default: all)", .min = 1, __VA_ARGS__)

/* For the commands that can do without a passphrase; the second for one of several images. */
#define KEY_SOURCE_VOLUME_KEY_ROWS(target, field, ...) \
    KEY_SOURCE_VOLUME_KEY_ROWS_OF("", target, field, __VA_ARGS__)
#define KEY_SOURCE_VOLUME_KEY_ROWS_OF(prefix, target, field, ...)                                 \
    PARAM_AT(offsetof(target, field.volume_key_file), prefix "volume-key-file", STRING, "FILE",   \
             "the volume key itself, instead of a passphrase: the bytes of this file",            \
             __VA_ARGS__),                                                                        \
        PARAM_AT(offsetof(target, field.token), prefix "token", STRING, "ID",                     \
                 "the passphrase that this token of the header names (luks2-keyring); any: the "  \
                 "first that opens",                                                              \
                 __VA_ARGS__),                                                                    \
        PARAM_AT(offsetof(target, field.token_plugins), prefix "token-plugins", STRING, "FOLDER", \
                 "open tokens of other types by libcryptsetup's plugins in this folder",          \
                 __VA_ARGS__)

/* The option that names a source, without dashes; NULL: the terminal. */
const char *key_source_given(const struct key_source *source);
bool key_source_is_stdin(const struct key_source *source);
/* It is a person at the terminal, who may mistype it. */
bool key_source_is_typed(const struct key_source *source);
/* LUKS_TOKEN_ANY or the number; -EINVAL with a sentence.  It needs source->token. */
NODISCARD int key_source_token(int *token, const struct key_source *source, struct error *err);

/* Whether a descriptor is open since the start: what somebody handed down was not closed by exec(),
 * and all that this program opens is closed by it. */
bool key_source_is_handed_down(unsigned fd);

/* -EINVAL: two sources at once, or one that can't be.  -EBADF: a descriptor that nobody handed
 * down, so that its number may be that of a file of ours later.  `prefix` stands before the names
 * of options: "--", "--new-", "". */
NODISCARD int key_source_check(const struct key_source *source, const char *prefix,
                               struct error *err);

/* Reads the passphrase (or volume key) for `image`, which is only named in messages and in the
 * prompt.
 *
 * What does not come from the terminal is taken whole: a newline at the end counts, as it does for
 * cryptsetup --key-file.  A line typed at the terminal counts without its newline.
 * Of a token nothing is read yet: *out is empty, and volume-key.h looks at the header.
 * `confirm` has the terminal ask twice (for a new passphrase), and KEY_TERMINAL_TRIES times when
 * the two differ.  The caller frees *out.
 *
 * Fails when it can't be read, is empty or exceeds KEY_SOURCE_BYTES_MAX; when none is given and
 * standard input is not a terminal; when the two lines differ each time.  Blocks. */
NODISCARD int key_source_read(struct secret **out, const struct key_source *source,
                              const char *image, bool confirm, struct error *err);

#endif
