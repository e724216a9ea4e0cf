/* Is a command allowed, and what does it ask of the pipeline?  A pure function of the command,
 * the export's limits and what was negotiated; proto.md, "Transmission phase". */
#ifndef NBDCRYPT_NBD_COMMAND_CHECK_H
#define NBDCRYPT_NBD_COMMAND_CHECK_H

#include "server/connection/nbd-command.h"
#include "server/block/layer.h"

/* Between a client and an export. */
struct command_terms {
    const struct limits *limits;
    bool structured;      /* structured replies */
    bool base_allocation; /* BLOCK_STATUS was negotiated */
    bool draining;        /* new commands are answered ESHUTDOWN */
};

/* Sets op and request_flags; or error and refusal (a sentence for the client), when the command
 * is refused. */
void command_check(struct command *command, const struct command_terms *terms);

/* What a command of the protocol asks for; one that is not known is refused like a read. */
enum request_op command_op_of(uint16_t command);

#endif
