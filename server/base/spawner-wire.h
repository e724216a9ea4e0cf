/* What goes between spawner.c and the process beside: one message each way for an order. */
#ifndef NBDCRYPT_SPAWNER_WIRE_H
#define NBDCRYPT_SPAWNER_WIRE_H

#include <stdint.h>

#define SPAWNER_NAME "nbdcrypt-spawner"
#define SPAWNER_MESSAGE_BYTES_MAX 65536u
#define SPAWNER_WORDS_MAX 1024u
#define SPAWNER_TEXT_BYTES_MAX 8192u /* of REMEMBER */

enum spawner_request_kind { SPAWNER_START, SPAWNER_WATCH, SPAWNER_REMEMBER, SPAWNER_BECOME };

/* Behind it: strings with their NULs.  START: the folder ("": ours), arguments, environment; with
 * the three standard files and an end of the leash.  WATCH: the mark.  REMEMBER: a text, with a
 * descriptor.  BECOME: a struct user. */
struct spawner_request {
    uint32_t kind;
    uint32_t argument_count, environment_count;
    uint32_t umask;
};

/* START, BECOME: 0 or an errno, and what could not be done; the leash gets an int when the program
 * has ended. */
struct spawner_answer {
    int32_t error;
    uint32_t in_folder; /* the folder was what failed */
};

#endif
