/* What all connections to a remote server share; constant but for the ledger, `syncs`, `away`
 * and `lost`. */
#ifndef NBDCRYPT_REMOTE_SERVER_H
#define NBDCRYPT_REMOTE_SERVER_H

#include "plugins/remote/remote-dial.h"
#include "plugins/remote/remote-ledger.h"
#include "plugins/remote/remote-syncs.h"

struct remote_server {
    struct remote_address address;
    struct remote_features features; /* what it said first */
    unsigned retry_ms;               /* 0: nothing waits for a lost server */
    unsigned timeout_ms;             /* 0: none */
    struct remote_ledger ledger;
    struct remote_syncs syncs;
    atomic_bool away; /* the primary has given up for now: so do the others */
    atomic_bool lost; /* the primary is not connected */
    char *name;       /* for messages */
};

#endif
