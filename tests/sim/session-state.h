/* What is known of one connection of a client. */
#ifndef NBDCRYPT_SIM_SESSION_STATE_H
#define NBDCRYPT_SIM_SESSION_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/nbd/nbd-wire.h"
#include "tests/sim/oracle.h"
#include "tests/sim/wire.h"

#define DEPTH_MAX 64u
#define SESSION_VERIFIER 99u /* the client that looks at the end; no client above is rude */

struct fiber;

/* How it is put on the wire where headers are extended: see outgoing.h. */
enum command_form { FORM_PLAIN, FORM_UNFLAGGED, FORM_QUERY, FORM_ODD_QUERY, FORM_ODD_PAYLOAD };

struct sent_command {
    bool used;
    enum command_form form;
    struct nbd_request request;
    uint64_t sent_ns;
    uint64_t moment;        /* of a read or a FLUSH */
    struct change *change;  /* of what changes cells */
    uint8_t *data;          /* of a read */
    uint64_t errors_before; /* of the disks, when it was sent */
    uint64_t covered_bytes;
    uint32_t error;
};

struct session {
    unsigned client;
    const char *export;
    unsigned life;         /* of the server that it is connected to */
    bool came_early;       /* when there was no disk */
    uint64_t disturbances; /* see server_disturbances(); when it came */
    struct wire wire;
    bool structured, extended, status, broken;
    uint32_t context_id;
    bool second; /* it has the certificate of the second client: see pki.h */
    bool left;   /* by the client itself */
    bool frozen; /* it takes no answers any more */
    uint16_t flags;
    uint64_t size_bytes;
    uint64_t cookies;
    struct sent_command commands[DEPTH_MAX];
    unsigned in_flight, key_updates;
    bool owed;                /* writes were lost, and its next FLUSH has to tell it */
    uint64_t owed_moment;     /* since when */
    uint64_t told;            /* see oracle_may_be_lost() */
    uint64_t served_until_ns; /* its export has gone, and it is told; 0: nothing is known of that */
    uint64_t forbidden_ns;    /* when it was told to go, as it may not attach it any more; 0: not */
    struct session *next;     /* of those that are open */
    struct fiber *receiver;
};

#endif
