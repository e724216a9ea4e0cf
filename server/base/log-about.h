/* What a line of the log is about, for who looks for it by that and not by its words: fields of the
 * journal (systemd.journal-fields(7)), and the level of one export. */
#ifndef NBDCRYPT_LOG_ABOUT_H
#define NBDCRYPT_LOG_ABOUT_H

#include <stddef.h>
#include <stdint.h>

/* What is NULL or 0 is not there.  Nothing of it has to stay but `id`. */
struct log_about {
    const char *id;       /* of log-ids.h */
    const char *who;      /* a client or a remote server, which is put in front: log_write_of() */
    const char *peer;     /* the same, where the line itself has it, and is not limited */
    const char *identity; /* what TLS has proven */
    uint64_t client;      /* its number in `nbdcrypt ctl clients` */
    const char *export;
    const char *report; /* the file of one */
    const char *operation;
    uint64_t offset_bytes, length_bytes, duration_us; /* of that */
};

#define LOG_ABOUT(...) ((struct log_about){ __VA_ARGS__ })

/* Writes "NAME=value" lines for all that is there to `out` (with a NUL), and returns how many bytes
 * these are.  Values are escaped as the log is.  What has no room is left out, as a whole field. */
#define LOG_FIELDS_BYTES 2048u
size_t log_about_fields(char out[LOG_FIELDS_BYTES], const struct log_about *about);

#endif
