/* The sandbox of `serve`: what the server takes from itself when it has read its configuration.
 *
 *     no_new_privs     no program gets more rights than this process has
 *     Landlock         files and ports (sandbox-landlock.h)
 *     seccomp          system calls: one filter for all threads, a second one for workers
 *     io_uring         what rings do (server/loop/ring-restrictions.h)
 *
 * It is one for the process, and for good.  Threads share their memory: a filter of one thread
 * stops the short way out, not the patient one through another thread. */
#ifndef NBDCRYPT_SANDBOX_H
#define NBDCRYPT_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/error.h"
#include "server/sandbox/sandbox-settings.h"

/* Before loops are made: the rings of this process are to be restricted. */
void sandbox_prepare(enum sandbox_mode mode);

/* Takes away what the settings say; what is lacking is told to sandbox_describe(), and in the log.
 * On the main thread, before there are others.  -ENOSYS: `strict`, and something is lacking.
 * `settings` may go. */
NODISCARD int sandbox_enter(const struct sandbox_settings *settings, struct error *err);

/* A worker's thread, when it has made what it needs: takes away more. */
NODISCARD int sandbox_enter_worker(struct error *err);

/* Whether a file of that name can't be opened like that because of `reach`. */
bool sandbox_hides(const char *path, enum sandbox_access access);

/* ---- for who looks ---- */

#define SANDBOX_LACKS_BYTES 160u

struct sandbox_report {
    enum sandbox_mode mode;
    bool no_new_privs;
    int landlock; /* version; 0: none */
    enum sandbox_reach reach;
    bool ports;
    bool calls;    /* by seccomp */
    bool programs; /* can't be started */
    bool rings;
    uint64_t violations;
    char lacks[SANDBOX_LACKS_BYTES]; /* words with commas between; "": nothing */
};

/* Any thread; takes no lock. */
void sandbox_describe(struct sandbox_report *out);
const char *sandbox_mode_name(enum sandbox_mode mode);
/* What it writes: "anywhere", "outside_system", "named". */
const char *sandbox_writes_name(enum sandbox_reach reach);
/* "auto: landlock 7, calls, programs, rings; lacks ..." */
#define SANDBOX_TEXT_BYTES 320u
void sandbox_text(char out[SANDBOX_TEXT_BYTES], const struct sandbox_report *report);

#endif
