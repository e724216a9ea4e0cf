/* LIST_META_CONTEXT and SET_META_CONTEXT. */
#ifndef NBDCRYPT_HANDSHAKE_CONTEXTS_H
#define NBDCRYPT_HANDSHAKE_CONTEXTS_H

#include "server/connection/option-replies.h"

/* A handler of handshake-options.h, for both. */
enum option_outcome handshake_contexts(struct option_exchange *ex);

#endif
