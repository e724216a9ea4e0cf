#include "tests/sim/outgoing.h"

#include <stdlib.h>

#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/trace.h"

#define ODD_PAYLOAD_BYTES_MAX (1u << 20)
#define QUERY_PERMILLE 400
#define ODD_FACTOR 4           /* as few have extended headers */
#define UNFLAGGED_PERMILLE 100 /* of WRITEs: some clients do not announce their payload */

void outgoing_draw_form(const struct session *session, struct sent_command *command)
{
    const struct nbd_request *request = &command->request;
    bool odd = random_chance(STREAM_RARE, ODD_FACTOR * (unsigned)options.rude_permille);

    command->form = FORM_PLAIN;
    if (request->command == NBD_CMD_BLOCK_STATUS &&
        (session->flags & NBD_FLAG_BLOCK_STATUS_PAYLOAD) &&
        random_chance(STREAM_RARE, QUERY_PERMILLE)) {
        command->form = odd ? FORM_ODD_QUERY : FORM_QUERY;
        mark(odd ? MARK_odd_payload : MARK_status_query);
    } else if (odd && request->command != NBD_CMD_WRITE &&
               request->command != NBD_CMD_BLOCK_STATUS &&
               request->length_bytes <= ODD_PAYLOAD_BYTES_MAX) {
        command->form = FORM_ODD_PAYLOAD;
        mark(MARK_odd_payload);
    } else if (request->command == NBD_CMD_WRITE &&
               random_chance(STREAM_RARE, UNFLAGGED_PERMILLE)) {
        command->form = FORM_UNFLAGGED;
    }
}

static size_t payload_bytes_of(const struct sent_command *command)
{
    switch (command->form) {
    case FORM_QUERY:
    case FORM_ODD_QUERY:
        return NBD_STATUS_QUERY_BYTES;
    case FORM_ODD_PAYLOAD:
        return command->request.length_bytes;
    default:
        return command->request.command == NBD_CMD_WRITE ? command->request.length_bytes : 0;
    }
}

static void put_payload(const struct session *session, const struct sent_command *command,
                        uint8_t *out)
{
    if (command->form == FORM_QUERY || command->form == FORM_ODD_QUERY) {
        nbd_put_u64(out, command->request.length_bytes);
        nbd_put_u32(out + 8, session->context_id + (command->form == FORM_ODD_QUERY));
    } else if (command->change != NULL && command->request.command == NBD_CMD_WRITE) {
        oracle_fill(command->change, out);
    }
}

static void put_extended_header(const struct sent_command *command, uint8_t *out)
{
    struct nbd_request header = command->request;
    bool announced = header.command == NBD_CMD_WRITE || command->form != FORM_PLAIN;

    if (announced && command->form != FORM_UNFLAGGED)
        header.flags |= NBD_CMD_FLAG_PAYLOAD_LEN;
    if (command->form == FORM_QUERY || command->form == FORM_ODD_QUERY)
        header.length_bytes = NBD_STATUS_QUERY_BYTES;
    nbd_encode_extended_request(out, &header);
}

uint8_t *outgoing_encode(const struct session *session, const struct sent_command *command,
                         size_t *header_bytes, size_t *whole_bytes)
{
    *header_bytes = session->extended ? NBD_EXTENDED_REQUEST_BYTES : NBD_REQUEST_BYTES;
    *whole_bytes = *header_bytes + payload_bytes_of(command);
    uint8_t *out = calloc(1, *whole_bytes);
    if (out == NULL)
        sim_fail("no memory");
    if (session->extended)
        put_extended_header(command, out);
    else
        nbd_encode_request(out, &command->request);
    put_payload(session, command, out + *header_bytes);
    return out;
}
