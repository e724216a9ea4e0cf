/* Is a command allowed, and what does it ask of the pipeline?  A pure function of the command,
 * the export's limits and what was negotiated; proto.md, "Transmission phase". */
#ifndef NBDCRYPT_NBD_COMMAND_CHECK_H
#define NBDCRYPT_NBD_COMMAND_CHECK_H

#include "server/connection/nbd-command.h"
#include "server/connection/negotiated.h"
#include "server/block/layer.h"

/* Between a client and an export. */
struct command_terms {
    const struct limits *limits;
    bool structured;   /* structured replies */
    bool extended;     /* extended headers, and so structured replies, too */
    uint32_t contexts; /* that BLOCK_STATUS tells, a bit for each */
    bool draining;     /* no command is begun any more */
};

static inline struct command_terms command_terms_of(const struct limits *limits,
                                                    const struct negotiated *negotiated)
{
    return (struct command_terms){ .limits = limits,
                                   .structured = negotiated->structured_replies,
                                   .extended = negotiated->extended_headers,
                                   .contexts = negotiated->contexts };
}

/* Sets op and request_flags; or error and refusal (a sentence for the client), when the command
 * is refused. */
void command_check(struct command *command, const struct command_terms *terms);

/* Bytes that come behind the header of a command.  With extended headers a flag announces them;
 * QEMU (10.0) does not set it on a WRITE, and its own server takes the payload all the same. */
static inline uint64_t command_payload_bytes(const struct nbd_request *request, bool extended)
{
    bool has_payload = request->command == NBD_CMD_WRITE ||
                       (extended && request->flags & NBD_CMD_FLAG_PAYLOAD_LEN);

    return has_payload ? request->length_bytes : 0;
}

/* The payload of a BLOCK_STATUS: the length of its range, and the numbers of contexts. */
#define COMMAND_QUERY_BYTES_MAX (8u + 4u * META_CONTEXTS_MAX)

/* It is there, as long as the header of the command says, which has been checked: it is checked
 * again, as one that has its range in the header. */
void command_take_query(struct command *command, const struct command_terms *terms,
                        const uint8_t query[COMMAND_QUERY_BYTES_MAX]) __attribute__((cold));

/* What a command of the protocol asks for; one that is not known is refused like a read. */
enum request_op command_op_of(uint16_t command);

#endif
