#include "tests/sim/handshake.h"

#include <string.h>

#include "server/loop/buffer.h"
#include "tests/sim/config.h"
#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/pki.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/server.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"

#define CONTEXT "base:allocation"
#define PIECE_BYTES_LEAST (BUFFER_BYTES_MAX - 4096) /* but for the last one of a READ */

/* ---- the handshake ---- */

static bool send_option(struct session *session, uint32_t option, const void *payload,
                        uint32_t bytes)
{
    uint8_t out[256];
    struct nbd_option_header header = { .option = option, .length_bytes = bytes };

    nbd_encode_option_header(out, &header);
    memcpy(out + NBD_OPTION_HEADER_BYTES, payload, bytes);
    return wire_send_all(&session->wire, out, NBD_OPTION_HEADER_BYTES + bytes);
}

static void take_info(struct session *session, const uint8_t *payload, uint32_t bytes)
{
    if (bytes != 12 || nbd_get_u16(payload) != NBD_INFO_EXPORT)
        return;
    session->size_bytes = nbd_get_u64(payload + 2);
    session->flags = nbd_get_u16(payload + 10);
}

/* Up to the ACK. */
static bool take_answers(struct session *session, uint32_t option, bool *refused)
{
    for (;;) {
        uint8_t header[NBD_OPTION_REPLY_BYTES], payload[4096];
        struct nbd_option_reply reply;

        if (!wire_receive_all(&session->wire, header, sizeof(header)))
            return false;
        if (!nbd_decode_option_reply(header, &reply) || reply.option != option ||
            reply.length_bytes > sizeof(payload))
            sim_fail("client %u got a wrong answer to option %u", session->client, option);
        if (!wire_receive_all(&session->wire, payload, reply.length_bytes))
            return false;
        *refused = reply.type >= NBD_REP_ERR_UNSUP;
        if (reply.type == NBD_REP_INFO)
            take_info(session, payload, reply.length_bytes);
        if (reply.type == NBD_REP_META_CONTEXT && option == NBD_OPT_SET_META_CONTEXT)
            session->context_id = nbd_get_u32(payload);
        if (reply.type == NBD_REP_ACK || *refused)
            return true;
    }
}

static bool may_be_turned_away(const struct session *session)
{
    return options.places > 0 && session->receiver == NULL;
}

/* It is not there, or was not for a while. */
bool handshake_may_fail(const struct session *session)
{
    return (session->second && pki_second_client() != PKI_VALID) || server_disk_is_away() ||
           session->came_early || server_lacked_memory() || may_be_turned_away(session) ||
           session->disturbances != server_disturbances();
}

static uint32_t put_text(uint8_t *at, const char *text)
{
    nbd_put_u32(at, (uint32_t)strlen(text));
    memcpy(at + 4, text, strlen(text));
    return 4 + (uint32_t)strlen(text);
}

static bool ask(struct session *session, uint32_t option, const void *payload, uint32_t bytes)
{
    bool refused = false;

    if (!send_option(session, option, payload, bytes) || !take_answers(session, option, &refused))
        return false;
    if (refused && session->life == server_life(SITE_FRONT) &&
        server_state(SITE_FRONT) == SERVER_UP && !handshake_may_fail(session))
        sim_fail("client %u was refused option %u", session->client, option);
    return !refused;
}

/* Of one READ in several pieces a later one could not be read, and what is in front of it was on
 * its way: a simple reply has no way to say that, and doc/proto.md has the server end the
 * connection. */
static bool lacks_the_rest_of_a_read(const struct session *session)
{
    for (unsigned i = 0; i < DEPTH_MAX && !session->structured; i++) {
        const struct sent_command *command = &session->commands[i];

        if (command->used && command->request.command == NBD_CMD_READ &&
            command->request.length_bytes > PIECE_BYTES_LEAST &&
            (volumes_errors() > command->errors_before || volumes_are_in_trouble()))
            return true;
    }
    return false;
}

/* The connection is gone: the end of the server, and the client's own, are all that it may be; and
 * that the key of a volume had to go, while a remote disk was silent, or half of a READ. */
void handshake_check_end(const struct session *session)
{
    if (!session->left && session->life == server_life(SITE_FRONT) &&
        server_state(SITE_FRONT) == SERVER_UP && !handshake_may_fail(session) &&
        !(options.lies > 0 && volumes_are_in_trouble()) && !lacks_the_rest_of_a_read(session))
        sim_fail("client %u has lost its connection, and nothing has broken it", session->client);
}

/* It has to be refused. */
static bool ask_in_vain(struct session *session, uint32_t option, const void *payload,
                        uint32_t bytes)
{
    bool refused = false;

    if (!send_option(session, option, payload, bytes) || !take_answers(session, option, &refused))
        return false;
    if (!refused)
        sim_fail("client %u asked for option %u, which can't be, and it was granted",
                 session->client, option);
    return true;
}

/* Says goodbye, or what is no option: the server ends the connection. */
static bool leave(struct session *session)
{
    static const uint8_t nonsense[NBD_OPTION_HEADER_BYTES] = { 1, 2, 3 };
    uint8_t rest[64];

    session->left = true;
    if (random_chance(STREAM_WORK, 500))
        (void)send_option(session, NBD_OPT_ABORT, "", 0);
    else
        (void)wire_send_all(&session->wire, nonsense, sizeof(nonsense));
    while (wire_receive_all(&session->wire, rest, 1))
        ;
    return false;
}

/* Says nothing until the server has enough of it. */
static bool stay_silent(struct session *session)
{
    uint8_t rest[64];

    mark(MARK_client_silent);
    session->left = true;
    while (wire_receive_all(&session->wire, rest, 1))
        ;
    return false;
}

/* More than a server reads: its data comes in pieces, and is thrown away. */
static bool ask_at_length(struct session *session, uint32_t bytes)
{
    static const uint8_t zeros[4096];
    uint8_t out[NBD_OPTION_HEADER_BYTES];
    struct nbd_option_header header = { .option = NBD_OPT_INFO, .length_bytes = bytes };
    bool refused = false;

    nbd_encode_option_header(out, &header);
    bool whole = wire_send_all(&session->wire, out, sizeof(out));
    for (uint32_t at = 0; whole && at < bytes; at += sizeof(zeros))
        whole = wire_send_all(&session->wire, zeros,
                              bytes - at < sizeof(zeros) ? bytes - at : sizeof(zeros));
    return whole && take_answers(session, NBD_OPT_INFO, &refused);
}

/* So many that it is cut off. */
static bool ask_for_ever(struct session *session)
{
    bool refused = false;

    session->left = true;
    while (send_option(session, NBD_OPT_LIST, "", 0) &&
           take_answers(session, NBD_OPT_LIST, &refused))
        ;
    return false;
}

/* What no other client asks: drawn from a stream of its own. */
static bool ask_oddly(struct session *session)
{
    uint8_t all[64] = { 0 };
    uint32_t bytes = put_text(all, session->export);
    bool refused = false;

    if (session->client > SESSION_VERIFIER ||
        !random_chance(STREAM_RARE, (unsigned)options.rude_permille * 2))
        return true;
    mark(MARK_odd_option);
    switch (random_below(STREAM_RARE, 8)) {
    case 0: /* all that there is to be told */
        nbd_put_u16(all + bytes, 3);
        for (uint16_t i = 0; i < 3; i++)
            nbd_put_u16(all + bytes + 2 + 2 * i, (uint16_t)(NBD_INFO_NAME + i));
        return ask(session, NBD_OPT_INFO, all, bytes + 8);
    case 1:
        return ask_in_vain(session, NBD_OPT_SET_META_CONTEXT, all, bytes + 4);
    case 2: /* the default one, which is the only one, if there is one only */
        memset(all, 0, sizeof(all));
        return send_option(session, NBD_OPT_INFO, all, put_text(all, "") + 2) &&
               take_answers(session, NBD_OPT_INFO, &refused);
    case 3:
        return ask_at_length(session, 100000);
    case 4:
        session->left = true;
        return ask_at_length(session, 2u << 20);
    case 5:
        return ask_for_ever(session);
    case 6: /* one that is too long to be a name */
        nbd_put_u32(all, 60000);
        return ask_in_vain(session, NBD_OPT_GO, all, sizeof(all));
    default:
        nbd_put_u32(all + bytes, 1);
        put_text(all + bytes + 4, "base:");
        return !session->structured || (ask(session, NBD_OPT_STRUCTURED_REPLY, "", 0) &&
                                        ask(session, NBD_OPT_LIST_META_CONTEXT, all, bytes + 13));
    }
}

/* What others ask before they know what they want. */
static bool look_around(struct session *session)
{
    uint8_t name[64] = { 0 };
    uint32_t bytes = put_text(name, session->export) + 2;

    if (session->client < SESSION_VERIFIER &&
        random_chance(STREAM_RARE, (unsigned)options.freeze_permille * 5))
        return stay_silent(session);
    if (session->client >= SESSION_VERIFIER ||
        !random_chance(STREAM_WORK, (unsigned)options.rude_permille * 5))
        return true;
    mark(MARK_rude_option);
    switch (random_below(STREAM_WORK, 9)) {
    case 0:
        return ask(session, NBD_OPT_LIST, "", 0);
    case 1:
        return ask(session, NBD_OPT_INFO, name, bytes);
    case 2:
        return ask_in_vain(session, 99, name, 7);
    case 3:
        memset(name, 0, sizeof(name));
        return ask_in_vain(session, NBD_OPT_GO, name, put_text(name, "nothing") + 2);
    case 4:
        return ask_in_vain(session, NBD_OPT_STARTTLS, "", 0);
    case 5:
        return ask_in_vain(session, NBD_OPT_STRUCTURED_REPLY, name, 4);
    case 6:
        return ask_in_vain(session, NBD_OPT_GO, name, bytes - 1);
    case 7:
        return ask_in_vain(session, NBD_OPT_LIST, name, 5);
    default:
        return leave(session);
    }
}

/* The oldest way in: whoever can't be served is cut off. */
static bool attach_by_name(struct session *session)
{
    uint8_t answer[10];
    bool left = session->left;

    session->left = left || handshake_may_fail(session);
    if (!send_option(session, NBD_OPT_EXPORT_NAME, session->export,
                     (uint32_t)strlen(session->export)) ||
        !wire_receive_all(&session->wire, answer, sizeof(answer)))
        return false;
    session->left = left;
    session->size_bytes = nbd_get_u64(answer);
    session->flags = nbd_get_u16(answer + 8);
    return true;
}

/* What the server shows has to be what its files said when it read them last. */
static bool start_tls(struct session *session)
{
    unsigned before = pki_servers(), writes = pki_writes();

    if (!ask(session, NBD_OPT_STARTTLS, "", 0) || !wire_start_tls(&session->wire, session->second))
        return false;
    if (options.tls != TLS_BY_CERTIFICATE || session->life != server_life(SITE_FRONT))
        return true;
    unsigned shown = wire_server_certificate(&session->wire);
    if (((before | pki_servers()) >> shown & 1) == 0 && pki_writes() < writes + 2)
        sim_fail("client %u is shown certificate %u, and the server was told of another one",
                 session->client, shown);
    return true;
}

/* Extended headers bring structured replies, and who has them can't have less. */
static bool agree_on_chunks(struct session *session)
{
    if (!session->extended)
        return ask(session, NBD_OPT_STRUCTURED_REPLY, "", 0);
    if (!ask(session, NBD_OPT_EXTENDED_HEADERS, "", 0))
        return false;
    mark(MARK_extended_client);
    if (!random_chance(STREAM_RARE, (unsigned)options.rude_permille))
        return true;
    return ask_in_vain(session,
                       random_chance(STREAM_RARE, 500) ? NBD_OPT_STRUCTURED_REPLY
                                                       : NBD_OPT_EXTENDED_HEADERS,
                       "", 0);
}

bool handshake(struct session *session)
{
    uint8_t greeting[NBD_GREETING_BYTES], flags[4], query[64] = { 0 };
    uint16_t server_flags;

    if (!wire_receive_all(&session->wire, greeting, sizeof(greeting)))
        return false;
    if (!nbd_decode_greeting(greeting, &server_flags))
        sim_fail("client %u got a wrong greeting", session->client);
    nbd_put_u32(flags, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
    if (!wire_send_all(&session->wire, flags, sizeof(flags)))
        return false;
    if (options.tls && random_chance(STREAM_WORK, (unsigned)options.rude_permille) &&
        !ask_in_vain(session, NBD_OPT_LIST, "", 0))
        return false;
    if (options.tls && !start_tls(session))
        return false;
    if (!look_around(session) || (session->client < SESSION_VERIFIER && !ask_oddly(session)))
        return false;
    if (session->structured) {
        uint32_t bytes = put_text(query, session->export);

        nbd_put_u32(query + bytes, 1);
        bytes += 4;
        bytes += put_text(query + bytes, CONTEXT);
        if (!agree_on_chunks(session) ||
            (random_chance(STREAM_WORK, (unsigned)options.rude_permille) &&
             !ask(session, NBD_OPT_LIST_META_CONTEXT, query, bytes)) ||
            !ask(session, NBD_OPT_SET_META_CONTEXT, query, bytes))
            return false;
        session->status = true;
    }
    if (!session->structured && random_chance(STREAM_WORK, (unsigned)options.rude_permille))
        return attach_by_name(session);
    memset(query, 0, sizeof(query));
    return ask(session, NBD_OPT_GO, query, put_text(query, session->export) + 2);
}
