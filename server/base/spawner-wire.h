/* What goes between spawner.c and the process beside: one message each way for an order. */
#ifndef NBDCRYPT_SPAWNER_WIRE_H
#define NBDCRYPT_SPAWNER_WIRE_H

#include <stdint.h>

/* Arguments: who it is beside of, the limit of open files, the third one if that is meant, and what
 * a successor of one that is sealed takes over: descriptors of the seal and of REMEMBER (-1), the
 * text of that, the mark, who made it. */
#define SPAWNER_NAME "nbdcrypt-spawner"
#define SPAWNER_NO_NEW_PRIVILEGES "no-new-privileges"
#define SPAWNER_SEALED "sealed"
#define SPAWNER_MESSAGE_BYTES_MAX 65536u
#define SPAWNER_WORDS_MAX 1024u
#define SPAWNER_TEXT_BYTES_MAX 8192u /* of REMEMBER */

enum spawner_request_kind {
    SPAWNER_START,
    SPAWNER_WATCH,
    SPAWNER_REMEMBER,
    SPAWNER_BECOME,
    SPAWNER_TWIN,
    SPAWNER_SEAL,
};

/* Behind it: strings with their NULs.  START: the folder ("": ours), arguments, environment; with
 * the three standard files and an end of the leash.  WATCH: the mark.  REMEMBER: a text, with a
 * descriptor.  BECOME: a struct user.  TWIN: nothing, with the end of a socket
 * that becomes its successor's standard input.  SEAL: nothing, with a text of spawner-seal.h. After
 * it only START, of what the text says, BECOME, TWIN and one WATCH count. */
struct spawner_request {
    uint32_t kind;
    uint32_t argument_count, environment_count;
    uint32_t umask;
};

/* START, BECOME, TWIN, SEAL: 0 or an errno, and what could not be done; the leash gets an int when
 * the program has ended. */
struct spawner_answer {
    int32_t error;
    uint32_t in_folder; /* the folder was what failed */
    uint32_t sealed;    /* the seal was */
    int32_t process;    /* TWIN: its number; with an error: it has ended, and is to be waited for */
};

#endif
