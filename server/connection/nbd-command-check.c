#include "server/connection/nbd-command-check.h"

#include <errno.h>

#include "server/loop/buffer.h"

struct rule {
    enum request_op op;
    uint16_t flags; /* besides FUA */
    bool writes;
    bool has_range;
    int beyond_end_error;
    const char *beyond_end;
};

static const char past_end[] = "the range reaches beyond the end of the export";

static const struct rule rules[] = {
    [NBD_CMD_READ] = { REQUEST_READ, NBD_CMD_FLAG_DF, false, true, EINVAL, past_end },
    [NBD_CMD_WRITE] = { REQUEST_WRITE, 0, true, true, ENOSPC, past_end },
    [NBD_CMD_FLUSH] = { REQUEST_FLUSH, 0, false, false, 0, NULL },
    [NBD_CMD_TRIM] = { REQUEST_TRIM, 0, true, true, EINVAL, past_end },
    [NBD_CMD_CACHE] = { REQUEST_CACHE, 0, false, true, EINVAL, past_end },
    [NBD_CMD_WRITE_ZEROES] = { REQUEST_ZERO, NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO, true,
                               true, ENOSPC, past_end },
    [NBD_CMD_BLOCK_STATUS] = { REQUEST_EXTENTS, NBD_CMD_FLAG_REQ_ONE, false, true, EINVAL,
                               past_end },
};

static bool is_known(uint16_t command)
{
    return command < sizeof rules / sizeof rules[0] && command != NBD_CMD_DISC;
}

enum request_op command_op_of(uint16_t command)
{
    return is_known(command) ? rules[command].op : REQUEST_READ;
}

static void refuse(struct command *command, int error, const char *why)
{
    command->error = error;
    command->needs_care = true;
    command->error_offset_bytes = command->request.offset_bytes;
    command->refusal = why;
}

static bool check_range(struct command *command, const struct rule *rule,
                        const struct limits *limits)
{
    const struct nbd_request *request = &command->request;

    uint64_t size_bytes = limits_size_bytes(limits);

    if (request->length_bytes > size_bytes ||
        request->offset_bytes > size_bytes - request->length_bytes) {
        refuse(command, rule->beyond_end_error, rule->beyond_end);
        return false;
    }
    return true;
}

/* A BLOCK_STATUS whose range and contexts come behind its header. */
static bool awaits_query(const struct command *command)
{
    return command->op == REQUEST_EXTENTS && command->request.flags & NBD_CMD_FLAG_PAYLOAD_LEN;
}

RARELY static void check_status(struct command *command, const struct command_terms *terms)
{
    command->contexts = (uint16_t)terms->contexts;
    if (terms->contexts == 0)
        refuse(command, EINVAL, "BLOCK_STATUS without a negotiated context");
    else if (command->request.length_bytes == 0)
        refuse(command, EINVAL, "BLOCK_STATUS of length 0");
}

/* What is particular to one command. */
static bool check_particular(struct command *command, const struct command_terms *terms)
{
    const struct nbd_request *request = &command->request;
    bool is_data = command->op == REQUEST_READ || command->op == REQUEST_WRITE;

    if (is_data && request->length_bytes > NBD_PAYLOAD_BYTES_MAX) {
        refuse(command, EINVAL, "more than 32 MiB in one request");
    } else if (command->op == REQUEST_READ && (request->flags & NBD_CMD_FLAG_DF)) {
        uint32_t phase = terms->limits->phase_bytes;

        if (!terms->structured)
            refuse(command, EINVAL, "DF needs structured replies");
        else if (request->length_bytes + offset_in_block(request->offset_bytes, phase) >
                 BUFFER_BYTES_MAX)
            refuse(command, EOVERFLOW, "too long for a reply that must not be fragmented");
    } else if (command->op == REQUEST_ZERO && (request->flags & NBD_CMD_FLAG_FAST_ZERO) &&
               terms->limits->zero_needs_data) {
        refuse(command, ENOTSUP, "zeros have to be written here: that is not fast");
    } else if (command->op == REQUEST_EXTENTS) {
        check_status(command, terms);
    }
    return command->error == 0;
}

/* CACHE is a hint: no more than the first of a long range is fetched. */
static void shorten_hint(struct command *command)
{
    if (command->op == REQUEST_CACHE && command->request.length_bytes > REQUEST_BYTES_MAX)
        command->request.length_bytes = REQUEST_BYTES_MAX;
}

static uint32_t flags_for_pipeline(const struct command *command)
{
    uint16_t flags = command->request.flags;
    uint32_t result = 0;

    if (flags & NBD_CMD_FLAG_FUA)
        result |= REQUEST_FUA;
    if (flags & NBD_CMD_FLAG_REQ_ONE)
        result |= REQUEST_ONE;
    if (flags & NBD_CMD_FLAG_FAST_ZERO)
        result |= REQUEST_FAST_ZERO;
    if (command->op == REQUEST_ZERO && !(flags & NBD_CMD_FLAG_NO_HOLE))
        result |= REQUEST_MAY_TRIM;
    return result;
}

/* With extended headers a payload is announced by a flag.  Besides WRITE only BLOCK_STATUS may have
 * one, which says what contexts it is about. */
static void check_payload(struct command *command)
{
    const struct nbd_request *request = &command->request;

    if (request->command == NBD_CMD_WRITE)
        return;
    if (request->command != NBD_CMD_BLOCK_STATUS)
        refuse(command, EINVAL, "this command takes no payload");
    else if (request->length_bytes < NBD_STATUS_QUERY_BYTES ||
             request->length_bytes > COMMAND_QUERY_BYTES_MAX || request->length_bytes % 4 != 0)
        refuse(command, EINVAL, "the payload is not a length and contexts that were agreed on");
    else
        command->needs_care = true;
}

/* What neither the command nor the export has. */
RARELY static bool check_unknown_flags(struct command *command, const struct command_terms *terms,
                                       uint16_t unknown)
{
    if (terms->extended)
        unknown &= (uint16_t)~NBD_CMD_FLAG_PAYLOAD_LEN;
    if (unknown == 0)
        check_payload(command);
    else if (unknown == NBD_CMD_FLAG_FUA)
        refuse(command, EINVAL, "the export does not offer FUA");
    else
        refuse(command, EINVAL, "a flag that this command does not have");
    return command->error == 0;
}

/* "SHOULD accept [FUA] on every command", once it was offered; a client that sets it all the same
 * must not believe that it was heeded. */
static bool check_flags(struct command *command, const struct rule *rule,
                        const struct command_terms *terms)
{
    uint16_t unknown = command->request.flags &
                       (uint16_t) ~(rule->flags | (terms->limits->fua ? NBD_CMD_FLAG_FUA : 0));

    return unknown == 0 || check_unknown_flags(command, terms, unknown);
}

void command_check(struct command *command, const struct command_terms *terms)
{
    const struct nbd_request *request = &command->request;
    const struct limits *limits = terms->limits;
    bool known = is_known(request->command);

    if (!known) {
        refuse(command, EINVAL, "unknown command");
        return;
    }
    const struct rule *rule = &rules[request->command];
    command->op = rule->op;
    if (!check_flags(command, rule, terms))
        return;
    if (rule->writes && limits->read_only)
        refuse(command, EPERM, "the export is read-only");
    else if (!(limits->ops & OP_BIT(rule->op)) && rule->op != REQUEST_EXTENTS)
        refuse(command, EINVAL, "the export does not offer this command");
    else if (!rule->has_range && (request->offset_bytes != 0 || request->length_bytes != 0))
        refuse(command, EINVAL, "FLUSH takes no range");
    else if (check_particular(command, terms) &&
             (!rule->has_range || awaits_query(command) || check_range(command, rule, limits))) {
        shorten_hint(command);
        command->request_flags = flags_for_pipeline(command);
    }
}

/* Each of those that were agreed on, once.  0: something else is among them. */
static uint32_t contexts_of_query(const uint8_t *query, uint64_t query_bytes, uint32_t agreed_on)
{
    uint32_t contexts = 0;

    for (uint32_t at = 8; at < query_bytes; at += 4) {
        uint32_t number = nbd_get_u32(query + at) - NBD_CONTEXT_BASE_ALLOCATION_ID;
        uint32_t bit = number < META_CONTEXTS_MAX ? META_CONTEXT_BIT(number) : 0;

        if (!(bit & agreed_on & ~contexts))
            return 0;
        contexts |= bit;
    }
    return contexts;
}

void command_take_query(struct command *command, const struct command_terms *terms,
                        const uint8_t query[COMMAND_QUERY_BYTES_MAX])
{
    struct command_terms of_query = *terms;

    of_query.contexts = contexts_of_query(query, command->request.length_bytes, terms->contexts);
    command->request.length_bytes = nbd_get_u64(query);
    command->request.flags &= (uint16_t)~NBD_CMD_FLAG_PAYLOAD_LEN;
    command->needs_care = false;
    if (of_query.contexts != 0)
        command_check(command, &of_query);
    else
        refuse(command, EINVAL, "a context that was not agreed on, or one that is named twice");
}
