/* Control-plane errors: a sentence for the person who must act.
 *
 * Functions of the control plane (start-up, configuration, headers, keys) return 0 or
 * -errno and take a `struct error *` last.  The message is written where the cause is known
 * and prefixed on the way up ("export 'db1': keyslot 3: ...").  No secret ever goes in.
 * The data plane does not use this: a request carries a positive errno.
 *
 * This header is a leaf: crypto/, server/ and plugins/ may all include it. */
#ifndef NBDCRYPT_ERROR_H
#define NBDCRYPT_ERROR_H

#define NODISCARD __attribute__((warn_unused_result))
/* A function that is rarely called: it stays out of the way of the one that calls it, which many
 * requests go through. */
#define RARELY __attribute__((noinline, cold))

/* Two names or paths of the longest, and what is to be said of them. */
#define ERROR_TEXT_BYTES 10240

struct error {
    char text[ERROR_TEXT_BYTES]; /* NUL-terminated; "" when nothing failed; UTF-8 as far as its
                                    parts are */
};

#define ERROR_DESCRIPTORS_ADVICE "; raise `ulimit -n` (LimitNOFILE= of a service)"

/* Sets the message, replacing what was there.  `err` may be NULL (the caller does not care).
 * One that is too long loses its middle ("..."), so that its reason is always there.
 * With -EMFILE and -ENFILE it ends with how more files can be open.
 * Always returns `code`, so that a failure is one line:
 *     return error_set(err, -EINVAL, "...");                                              */
int error_set(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The sentence for that, and -ENOMEM.  `what_for` is "for a pipeline" or "to read an image"; may be
 * NULL. */
int error_no_memory(struct error *err, const char *what_for);

#ifdef __clang_analyzer__
/* It sees one file at a time, and would take failures for successes. */
#include <errno.h>
#define error_set(err, code, ...) ((void)error_set(err, code, __VA_ARGS__), (code))
#define error_no_memory(err, what_for) ((void)error_no_memory(err, what_for), -ENOMEM)
#endif

/* Puts text in front of the message ("export 'db1': "), cutting the middle if it must. */
void error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
