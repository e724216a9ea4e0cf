/* Is a command allowed, and what does it ask of the pipeline?  A pure function of the command,
 * the export's limits and what was negotiated; proto.md, "Transmission phase". */
#ifndef NBDCRYPT_COMMAND_CHECK_H
#define NBDCRYPT_COMMAND_CHECK_H

#include "server/command.h"
#include "server/layer.h"

struct command_terms {
    const struct limits *limits;
    bool structured;
    bool base_allocation;
    bool draining;
};

/* Sets op and request_flags; or error and refusal (a sentence for the client), when the command
 * is refused. */
void command_check(struct command *command, const struct command_terms *terms);

#endif
