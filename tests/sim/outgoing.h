/* A command as it goes onto the wire, with headers of the kind that its connection has. */
#ifndef NBDCRYPT_SIM_OUTGOING_H
#define NBDCRYPT_SIM_OUTGOING_H

#include <stddef.h>

#include "tests/sim/session-state.h"

/* With extended headers: BLOCK_STATUS may have its range in a payload, and what is odd is refused:
 * a payload of a command that takes none, or another context. */
void outgoing_draw_form(const struct session *session, struct sent_command *command);
/* Header and payload, for free(): `whole_bytes`, `header_bytes` of them of the header. */
uint8_t *outgoing_encode(const struct session *session, const struct sent_command *command,
                         size_t *header_bytes, size_t *whole_bytes);

#endif
