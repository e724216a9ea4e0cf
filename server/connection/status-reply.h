/* The reply to a BLOCK_STATUS: a chunk for each metadata context, one after the other.  A backend
 * tells a list of extents at a time, and a chunk is one for all of them, with its length in front:
 * so its parts are kept until the last one is there.  How many there are is bounded by the number
 * of extents, and by the buffers that the connection may have then: a reply may always tell of less
 * than it was asked for.  The next context is asked for when the chunk of the one before has left,
 * so that a command never waits for a buffer while it has one.
 *
 * What is known of the chunk is in command->status, and its parts, the last one first, are in
 * command->done. */
#ifndef NBDCRYPT_STATUS_REPLY_H
#define NBDCRYPT_STATUS_REPLY_H

#include "server/connection/nbd-command.h"

#define STATUS_REPLY_EXTENTS_MAX (1u << 20) /* proto.md, NBD_CMD_BLOCK_STATUS */

/* The next part has come back: its list becomes descriptors, where it lies. */
void status_reply_add(struct command *command, struct fragment *part, bool extended);
/* The backend can tell more, and the client wants to know it: what is behind
 * command->status.told_bytes of its range. */
bool status_reply_goes_on(const struct command *command);
/* There is no more to come of this context, and the next one is the next: the parts in the order in
 * which they are sent, with the header in front of the first. */
struct fragment *status_reply_end(struct command *command, bool extended);

#endif
