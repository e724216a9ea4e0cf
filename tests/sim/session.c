#include "tests/sim/session.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/config.h"
#include "tests/sim/handshake.h"
#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/outgoing.h"
#include "tests/sim/pki.h"
#include "tests/sim/random.h"
#include "tests/sim/rates.h"
#include "tests/sim/schedule.h"
#include "tests/sim/server.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"

#define EXTENTS_MAX 4096u
#define ANSWER_SECONDS_MAX 120u
#define STALL_SECONDS_MAX 150u /* the server waits for 60, and looks now and then */
#define BEGUN_NS (100 * NS_PER_MS)
#define HANDSHAKE_SECONDS_MAX 10u /* the server's */

static struct session *sessions; /* that are open */
static uint64_t last_told;       /* when a FLUSH of any of them has failed */

/* ---- answers ---- */

static struct sent_command *find(struct session *session, uint64_t cookie)
{
    for (unsigned i = 0; i < DEPTH_MAX; i++)
        if (session->commands[i].used && session->commands[i].request.cookie == cookie)
            return &session->commands[i];
    sim_fail("client %u got an answer to command %llx, which is not in flight", session->client,
             (unsigned long long)cookie);
}

static const enum mark answered_marks[] = {
    [NBD_CMD_READ] = MARK_COUNT,
    [NBD_CMD_WRITE] = MARK_COUNT,
    [NBD_CMD_DISC] = MARK_COUNT,
    [NBD_CMD_FLUSH] = MARK_flush_answered,
    [NBD_CMD_TRIM] = MARK_trim_answered,
    [NBD_CMD_CACHE] = MARK_cache_answered,
    [NBD_CMD_WRITE_ZEROES] = MARK_zero_answered,
    [NBD_CMD_BLOCK_STATUS] = MARK_status_answered,
};

/* It has to be refused: see draw_rudeness() in client.c. */
static bool is_rude(const struct session *session, const struct sent_command *command)
{
    const struct nbd_request *request = &command->request;
    uint16_t known = NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_DF |
                     NBD_CMD_FLAG_REQ_ONE | NBD_CMD_FLAG_FAST_ZERO;

    return command->form == FORM_ODD_QUERY || command->form == FORM_ODD_PAYLOAD ||
           request->command > NBD_CMD_BLOCK_STATUS || (request->flags & ~known) != 0 ||
           request->offset_bytes + request->length_bytes > session->size_bytes;
}

/* It had begun when its client was told to go, and nothing was in its way: it is carried out. */
static bool has_begun(const struct session *session, const struct sent_command *command)
{
    uint64_t way_ns = BEGUN_NS + 2 * options.net_us * NS_PER_US;
    bool in_its_way = options.remote || options.stall_permille > 0 || options.buffers < 8 ||
                      options.depth > 8 || options.long_permille > 0 || options.limit_iops > 0 ||
                      options.limit_kib > 0 || options.client_iops > 0 || options.group_iops > 0 ||
                      options.batch_us > 0;

    return !in_its_way && server_state(SITE_FRONT) == SERVER_UP && session->forbidden_ns > 0 &&
           command->sent_ns + way_ns < session->forbidden_ns;
}

/* A FLUSH or FUA may fail for what happened to another before: the whole life of the server counts.
 */
static void check_error(const struct session *session, const struct sent_command *command)
{
    const struct nbd_request *request = &command->request;
    bool sync = request->command == NBD_CMD_FLUSH || (request->flags & NBD_CMD_FLAG_FUA) != 0;

    if (command->error == NBD_ENOTSUP && (request->flags & NBD_CMD_FLAG_FAST_ZERO) != 0)
        return;
    if (command->error == NBD_EOVERFLOW && (request->flags & NBD_CMD_FLAG_DF) != 0)
        return;
    if (command->error == NBD_ENOMEM && server_lacked_memory())
        return;
    if (is_rude(session, command) && command->error != NBD_EIO)
        return;
    /* A liar may say anything; but that the store ends is no answer to a client of the front. */
    if ((command->error == NBD_EIO || (options.lies > 0 && command->error != NBD_ESHUTDOWN)) &&
        volumes_are_in_trouble())
        return;
    /* A loss at a remote disk is told to who comes later, too, until somebody has taken note of it:
     * rule 5 of plugins/remote/remote-ledger.h. */
    if (sync && options.remote && command->error == NBD_EIO && volumes_were_in_trouble())
        return;
    if (volumes_errors() == (sync ? 0 : command->errors_before))
        sim_fail("client %u: %s was answered with error %u, and nothing has failed",
                 session->client, nbd_command_name(request->command), command->error);
    if (command->error != NBD_EIO && command->error != NBD_ENOSPC)
        sim_fail("client %u: %s was answered with error %u", session->client,
                 nbd_command_name(request->command), command->error);
    mark(request->command == NBD_CMD_READ    ? MARK_read_failed
         : request->command == NBD_CMD_FLUSH ? MARK_flush_failed
                                             : MARK_write_failed);
}

static void release(struct session *session, struct sent_command *command)
{
    oracle_read_ends(command->moment);
    free(command->data);
    command->data = NULL;
    command->used = false;
    session->in_flight--;
    fiber_wake_all(&session->in_flight);
}

static void owe(struct session *session)
{
    session->owed = true;
    session->owed_moment = oracle_moment();
}

static void judge_flush(struct session *session, const struct sent_command *command)
{
    if (command->error != 0) {
        if (session->owed)
            mark(MARK_flush_failed_as_owed);
        session->owed = false;
        session->told = last_told = oracle_moment();
        if (options.remote) /* a file fails from then on, until it is opened again */
            oracle_flush_failed();
        return;
    }
    if (session->owed && command->moment > session->owed_moment)
        sim_fail(
            "client %u: FLUSH succeeded, and nobody has told it of writes that were lost before",
            session->client);
    /* One that was on its way when the power went had reached the disk before. */
    for (struct session *other = sessions; other != NULL; other = other->next)
        if (command->moment <= other->owed_moment)
            other->owed = false;
    oracle_flushed(command->moment);
}

/* Who it is for the server. */
static unsigned identity_of(const struct session *session)
{
    return options.tls == TLS_BY_CERTIFICATE ? session->second
           : options.tls == TLS_BY_KEY       ? 0
                                             : client_user(session->client);
}

static void judge(struct session *session, struct sent_command *command)
{
    const struct nbd_request *request = &command->request;
    bool success = command->error == 0, fua = (request->flags & NBD_CMD_FLAG_FUA) != 0;

    if (session->life !=
        server_life(SITE_FRONT)) { /* what was answered before the end says nothing any more */
        release(session, command);
        return;
    }
    trace_event("client %llu: command %llu at %llu was answered, error %llu", session->client,
                request->command, request->offset_bytes, command->error);
    if (session->second && pki_must_be_gone())
        sim_fail("client %u is served, and its certificate is revoked", session->client);
    if (success && is_rude(session, command))
        sim_fail("client %u asked for what can't be, and it was done", session->client);
    if (success && session->served_until_ns != 0 && command->sent_ns > session->served_until_ns)
        sim_fail("client %u is still served, and its export has gone", session->client);
    if (!success)
        check_error(session, command);
    else if (answered_marks[request->command] != MARK_COUNT)
        mark(answered_marks[request->command]);
    if (success && fua)
        mark(MARK_fua_answered);
    if (success && session->disturbances == server_disturbances()) /* not of one that drains */
        rates_answered(identity_of(session), request, command->sent_ns);
    if (command->change != NULL)
        oracle_change_answered(command->change, success, fua);
    else if (request->command == NBD_CMD_FLUSH && !is_rude(session, command))
        judge_flush(session, command);
    else if (request->command == NBD_CMD_READ && success && command->moment > oracle_cut_moment())
        oracle_check_read(command->moment, request->offset_bytes, (uint32_t)request->length_bytes,
                          command->data, session->client);
    server_count_answer();
    release(session, command);
}

static bool take_simple(struct session *session, uint8_t header[NBD_CHUNK_HEADER_BYTES])
{
    uint64_t cookie;
    uint32_t error;

    if (!wire_receive_all(&session->wire, header + 4, NBD_SIMPLE_REPLY_BYTES - 4))
        return false;
    (void)nbd_decode_simple_reply(header, &error, &cookie);
    struct sent_command *command = find(session, cookie);
    if (session->structured && (command->request.command == NBD_CMD_READ ||
                                command->request.command == NBD_CMD_BLOCK_STATUS))
        sim_fail("client %u got a simple reply where a structured one is due", session->client);
    command->error = error;
    if (command->request.command == NBD_CMD_READ && error == 0 && command->data == NULL)
        sim_fail("client %u gets what it can't have read", session->client);
    if (command->request.command == NBD_CMD_READ && error == 0 &&
        !wire_receive_all(&session->wire, command->data, command->request.length_bytes))
        return false;
    judge(session, command);
    return true;
}

/* ---- structured replies ---- */

static void cover(struct session *session, struct sent_command *command, uint64_t offset_bytes,
                  uint32_t length_bytes)
{
    const struct nbd_request *request = &command->request;

    if (command->data == NULL)
        sim_fail("client %u gets what it can't have read", session->client);
    if (offset_bytes < request->offset_bytes || length_bytes == 0 ||
        offset_bytes + length_bytes > request->offset_bytes + request->length_bytes)
        sim_fail("client %u got a chunk beyond what it read", session->client);
    command->covered_bytes += length_bytes;
}

static bool take_data(struct session *session, struct sent_command *command, uint32_t length_bytes)
{
    uint8_t offset[8];

    if (!wire_receive_all(&session->wire, offset, 8))
        return false;
    cover(session, command, nbd_get_u64(offset), length_bytes - 8);
    return wire_receive_all(&session->wire,
                            command->data + (nbd_get_u64(offset) - command->request.offset_bytes),
                            length_bytes - 8);
}

static bool take_hole(struct session *session, struct sent_command *command)
{
    uint8_t payload[12];

    if (!wire_receive_all(&session->wire, payload, 12))
        return false;
    mark(MARK_hole_told);
    cover(session, command, nbd_get_u64(payload), nbd_get_u32(payload + 8));
    memset(command->data + (nbd_get_u64(payload) - command->request.offset_bytes), 0,
           nbd_get_u32(payload + 8));
    return true;
}

/* What it says reads as zeros must be allowed to. */
static void check_extents(struct session *session, struct sent_command *command,
                          const uint8_t *extents, unsigned count)
{
    const struct nbd_request *request = &command->request;
    uint64_t at = request->offset_bytes, end = at + request->length_bytes;
    unsigned each_bytes = session->extended ? 16 : 8;

    if (count == 0 || ((request->flags & NBD_CMD_FLAG_REQ_ONE) && count > 1))
        sim_fail("client %u got %u extents", session->client, count);
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *extent = extents + (size_t)each_bytes * i;
        uint64_t length_bytes = session->extended ? nbd_get_u64(extent) : nbd_get_u32(extent);
        uint64_t flags = session->extended ? nbd_get_u64(extent + 8) : nbd_get_u32(extent + 4);
        uint64_t checked_end = at + length_bytes / CELL_BYTES * CELL_BYTES;

        if (length_bytes == 0 || (at >= end))
            sim_fail("client %u got an extent of nothing", session->client);
        if (checked_end > end)
            checked_end = end;
        if ((flags & 2) && checked_end > at && session->life == server_life(SITE_FRONT) &&
            command->moment > oracle_cut_moment()) {
            oracle_check_zeros(command->moment, at, checked_end - at, session->client);
        }
        at += length_bytes;
    }
    command->covered_bytes = request->length_bytes;
}

static bool take_status(struct session *session, struct sent_command *command,
                        uint32_t length_bytes)
{
    uint8_t payload[8 + 16 * EXTENTS_MAX];
    unsigned head_bytes = session->extended ? 8 : 4, each_bytes = session->extended ? 16 : 8;

    if (length_bytes < head_bytes || length_bytes > sizeof(payload) ||
        (length_bytes - head_bytes) % each_bytes != 0)
        sim_fail("client %u got a block status of %u bytes", session->client, length_bytes);
    if (!wire_receive_all(&session->wire, payload, length_bytes))
        return false;
    unsigned count = (length_bytes - head_bytes) / each_bytes;
    if (nbd_get_u32(payload) != session->context_id)
        sim_fail("client %u got a block status of another context", session->client);
    if (session->extended && nbd_get_u32(payload + 4) != count)
        sim_fail("client %u got %u extents, and %u were announced", session->client, count,
                 nbd_get_u32(payload + 4));
    check_extents(session, command, payload + head_bytes, count);
    return true;
}

/* A byte of what was asked for could not be read. */
static void check_where(const struct session *session, const struct sent_command *command,
                        const uint8_t *payload, uint32_t length_bytes)
{
    uint32_t at = 6u + nbd_get_u16(payload + 4);

    if (at + 8 != length_bytes || command->request.command != NBD_CMD_READ ||
        nbd_get_u64(payload + at) - command->request.offset_bytes >= command->request.length_bytes)
        sim_fail("client %u got an error at a byte that it did not ask for", session->client);
}

static bool take_error(struct session *session, struct sent_command *command, uint16_t type,
                       uint32_t length_bytes)
{
    uint8_t payload[4096 + 16];

    if (length_bytes < 6 || length_bytes > sizeof(payload))
        sim_fail("client %u got an error chunk of %u bytes", session->client, length_bytes);
    if (!wire_receive_all(&session->wire, payload, length_bytes))
        return false;
    command->error = nbd_get_u32(payload);
    if (command->error == 0)
        sim_fail("client %u got an error that is none", session->client);
    if (type == NBD_REPLY_TYPE_ERROR_OFFSET)
        check_where(session, command, payload, length_bytes);
    return true;
}

/* Its first 4 bytes are in `header`. */
static bool take_chunk_header(struct session *session, uint8_t *header, struct nbd_chunk *chunk)
{
    size_t bytes = session->extended ? NBD_EXTENDED_CHUNK_HEADER_BYTES : NBD_CHUNK_HEADER_BYTES;
    uint64_t offset_bytes;

    if (!wire_receive_all(&session->wire, header + 4, bytes - 4))
        return false;
    if (!session->extended)
        return nbd_decode_chunk(header, chunk);
    if (!nbd_decode_extended_chunk(header, chunk, &offset_bytes))
        sim_fail("client %u got a chunk of 2^32 bytes or more", session->client);
    if (offset_bytes != find(session, chunk->cookie)->request.offset_bytes)
        sim_fail("client %u got an answer for byte %llu, and has asked for another",
                 session->client, (unsigned long long)offset_bytes);
    return true;
}

static bool take_chunk(struct session *session, uint8_t header[NBD_EXTENDED_CHUNK_HEADER_BYTES])
{
    struct nbd_chunk chunk;
    bool whole = true;

    if (!take_chunk_header(session, header, &chunk))
        return false;
    struct sent_command *command = find(session, chunk.cookie);
    bool read = command->request.command == NBD_CMD_READ;
    if (chunk.type == NBD_REPLY_TYPE_OFFSET_DATA && read && chunk.length_bytes > 8)
        whole = take_data(session, command, chunk.length_bytes);
    else if (chunk.type == NBD_REPLY_TYPE_OFFSET_HOLE && read && chunk.length_bytes == 12)
        whole = take_hole(session, command);
    else if (!read && chunk.type == (session->extended ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT
                                                       : NBD_REPLY_TYPE_BLOCK_STATUS))
        whole = take_status(session, command, chunk.length_bytes);
    else if (chunk.type >= NBD_REPLY_TYPE_ERROR)
        whole = take_error(session, command, chunk.type, chunk.length_bytes);
    else if (chunk.type != NBD_REPLY_TYPE_NONE || chunk.length_bytes != 0)
        sim_fail("client %u got a chunk of type %u with %u bytes", session->client, chunk.type,
                 chunk.length_bytes);
    if (!whole || !(chunk.flags & NBD_REPLY_FLAG_DONE))
        return whole;
    if (command->error == 0 && (read || command->request.command == NBD_CMD_BLOCK_STATUS) &&
        command->covered_bytes != command->request.length_bytes)
        sim_fail("client %u got %llu of %llu bytes", session->client,
                 (unsigned long long)command->covered_bytes,
                 (unsigned long long)command->request.length_bytes);
    judge(session, command);
    return true;
}

/* What a client asked for before it was told to go, and has no answer. */
static void check_unanswered(const struct session *session)
{
    if (session->frozen || session->left || endpoint_is_reset(session->wire.endpoint))
        return;
    for (unsigned i = 0; i < DEPTH_MAX; i++) {
        const struct sent_command *command = &session->commands[i];

        if (!command->used)
            continue;
        mark(MARK_ended_unanswered);
        if (has_begun(session, command))
            sim_fail("client %u: %s had begun, and was given up when its client was told to go",
                     session->client, nbd_command_name(command->request.command));
    }
}

static void *receive(void *context)
{
    struct session *session = context;
    uint8_t header[NBD_EXTENDED_CHUNK_HEADER_BYTES];
    bool whole = true;

    while (whole && !session->frozen && wire_receive_all(&session->wire, header, 4)) {
        if (nbd_is_simple_reply(header) && !session->extended)
            whole = take_simple(session, header);
        else if (session->structured &&
                 nbd_get_u32(header) ==
                     (session->extended ? NBD_EXTENDED_CHUNK_MAGIC : NBD_CHUNK_MAGIC))
            whole = take_chunk(session, header);
        else
            sim_fail("client %u got something that is no reply", session->client);
    }
    handshake_check_end(session);
    if (whole)
        check_unanswered(session);
    session->broken = true;
    fiber_wake_all(&session->in_flight);
    return NULL;
}

/* ---- calls ---- */

void sessions_are_owed(void)
{
    for (struct session *session = sessions; session != NULL; session = session->next)
        if (oracle_may_be_lost(session->told))
            owe(session);
}

void sessions_are_told_to_go(uint64_t until_ns)
{
    for (struct session *session = sessions; session != NULL; session = session->next) {
        if (session->disturbances + 1 < server_disturbances())
            continue; /* on one that has gone before, and may have longer */
        session->served_until_ns = until_ns;
        mark(MARK_told_to_go);
    }
}

void sessions_are_forbidden(void)
{
    for (struct session *session = sessions; session != NULL; session = session->next)
        if (session->disturbances + 1 == server_disturbances())
            session->forbidden_ns = sim_now_ns;
}

static bool waits_since(const struct session *session, uint64_t sent_ns)
{
    for (unsigned i = 0; i < DEPTH_MAX; i++)
        if (session->commands[i].used && session->commands[i].sent_ns < sent_ns)
            return true;
    return false;
}

bool sessions_wait_since(uint64_t sent_ns)
{
    for (const struct session *session = sessions; session != NULL; session = session->next)
        if (!session->broken && !session->left && waits_since(session, sent_ns))
            return true;
    return false;
}

static void leave(struct session *session)
{
    struct session **link = &sessions;

    while (*link != session)
        link = &(*link)->next;
    *link = session->next;
}

static bool may_be_refused(const struct session *session, enum pki_standing before)
{
    return session->second && (before != PKI_VALID || pki_second_client() != PKI_VALID);
}

static void check_admitted(const struct session *session, enum pki_standing before)
{
    if (session->second && before == PKI_REVOKED && pki_second_client() == PKI_REVOKED &&
        session->life == server_life(SITE_FRONT))
        sim_fail("client %u was let in with a certificate that is revoked", session->client);
    if (session->second)
        mark(MARK_second_client);
}

bool session_open(struct session *session, unsigned client, bool structured)
{
    *session =
        (struct session){ .client = client,
                          .export = DISK,
                          .structured = structured,
                          .extended =
                              structured && client != SESSION_VERIFIER &&
                              random_chance(STREAM_RARE, (unsigned)options.extended_permille),
                          .life = server_life(SITE_FRONT),
                          .second = options.tls == TLS_BY_CERTIFICATE &&
                                    client != SESSION_VERIFIER && random_chance(STREAM_WORK, 300),
                          .told = last_told,
                          .came_early = server_disk_is_away(),
                          .disturbances = server_disturbances() };
    session->wire.endpoint = server_connect(SITE_FRONT, client);
    if (session->wire.endpoint == NULL)
        return false;
    enum pki_standing before = pki_second_client();
    uint64_t late_ns = sim_now_ns + HANDSHAKE_SECONDS_MAX * NS_PER_S;
    if (!handshake(session)) {
        if (sim_now_ns < late_ns && !may_be_refused(session, before))
            handshake_check_end(session);
        wire_free(&session->wire);
        endpoint_close(session->wire.endpoint);
        return false;
    }
    check_admitted(session, before);
    if (session->size_bytes != volumes_export_bytes())
        sim_fail("client %u was told of %llu bytes", client,
                 (unsigned long long)session->size_bytes);
    session->next = sessions;
    sessions = session;
    session->receiver = fiber_start("receiver", HOST_WORLD, receive, session);
    return true;
}

/* Whatever happens to others, it is answered in time, or the connection is lost. */
bool session_wait(struct session *session, unsigned in_flight)
{
    while (!session->broken && session->in_flight > in_flight) {
        unsigned before = session->in_flight;

        if (!fiber_wait_until(&session->in_flight, sim_now_ns + ANSWER_SECONDS_MAX * NS_PER_S) &&
            !session->broken && session->in_flight == before)
            sim_fail("no progress: client %u waits for an answer", session->client);
    }
    return !session->broken;
}

static void note(const struct session *session, struct sent_command *command)
{
    static const struct {
        bool changes;
        enum change_kind kind;
    } kinds[] = {
        [NBD_CMD_WRITE] = { true, CHANGE_WRITE },
        [NBD_CMD_TRIM] = { true, CHANGE_TRIM },
        [NBD_CMD_WRITE_ZEROES] = { true, CHANGE_ZERO },
        [NBD_CMD_BLOCK_STATUS] = { false, CHANGE_WRITE },
    };
    const struct nbd_request *request = &command->request;

    if (is_rude(session, command)) {
        mark(MARK_rude_command);
        command->moment = oracle_read_begins();
        return;
    }
    if (kinds[request->command].changes)
        command->change = oracle_change_begins(kinds[request->command].kind, request->offset_bytes,
                                               request->length_bytes);
    else if (request->command == NBD_CMD_FLUSH)
        command->moment = oracle_moment();
    else
        command->moment = oracle_read_begins();
    if (request->command == NBD_CMD_READ)
        command->data = malloc(request->length_bytes);
}

/* `part`: a half of it, at most. */
static bool send_request(struct session *session, const struct nbd_request *wanted, bool part)
{
    struct nbd_request request = *wanted;
    size_t header_bytes, count;
    unsigned slot = 0;

    if (!session_wait(session, DEPTH_MAX - 1))
        return false;
    while (session->commands[slot].used)
        slot++;
    request.cookie = (uint64_t)session->client << 32 | ++session->cookies;
    struct sent_command *command = &session->commands[slot];
    *command = (struct sent_command){
        .used = true, .request = request, .sent_ns = sim_now_ns, .errors_before = volumes_errors()
    };
    session->in_flight++;
    if (session->extended)
        outgoing_draw_form(session, command);
    note(session, command);
    trace_event("client %llu sends command %llu at %llu, %llu bytes", session->client,
                request.command, request.offset_bytes, request.length_bytes);
    uint8_t *bytes = outgoing_encode(session, command, &header_bytes, &count);
    if (part)
        count = count > header_bytes ? header_bytes + (count - header_bytes) / 2
                                     : 1 + random_below(STREAM_RARE, count / 2);
    bool whole = wire_send_all(&session->wire, bytes, count);
    free(bytes);
    return whole;
}

bool session_send(struct session *session, const struct nbd_request *wanted)
{
    return send_request(session, wanted, false);
}

/* What is in flight may happen, as it may of one who breaks the connection. */
void session_freeze(struct session *session, const struct nbd_request *last, uint64_t patience_ns)
{
    static const uint8_t nonsense[NBD_REQUEST_BYTES] = "no request at all";
    uint64_t until_ns = sim_now_ns + patience_ns;

    mark(MARK_client_froze);
    bool half = false;
    session->left = true;
    session->frozen = random_chance(STREAM_RARE, 500);
    trace_event("client %llu freezes, and takes answers no more: %llu", session->client,
                session->frozen, 0, 0);
    if (!session->frozen && random_chance(STREAM_RARE, 300))
        (void)wire_send_all(&session->wire, nonsense, sizeof(nonsense));
    else if (!session->frozen)
        half = send_request(session, last, true) && last->command == NBD_CMD_WRITE;
    while (!endpoint_is_reset(session->wire.endpoint) && !session->broken && sim_now_ns < until_ns)
        fiber_sleep(NS_PER_MS * 100);
    if (half && patience_ns > STALL_SECONDS_MAX * NS_PER_S && sim_now_ns >= until_ns &&
        !session->broken && session->life == server_life(SITE_FRONT) &&
        server_state(SITE_FRONT) == SERVER_UP)
        sim_fail("client %u has sent half a request, and is still waited for", session->client);
}

void session_close(struct session *session, enum session_end how)
{
    session->left = true;
    if (how == SESSION_DISC) {
        const struct sent_command disconnect = { .request.command = NBD_CMD_DISC };
        size_t header_bytes, count;
        uint8_t *bytes = outgoing_encode(session, &disconnect, &header_bytes, &count);

        (void)wire_send_all(&session->wire, bytes, count);
        free(bytes);
        endpoint_shutdown(session->wire.endpoint, false, true);
    } else if (how == SESSION_RESET) {
        endpoint_reset(session->wire.endpoint);
    } else {
        endpoint_shutdown(session->wire.endpoint, true, true);
    }
    (void)fiber_join(session->receiver);
    leave(session);
    if (how == SESSION_DISC && session->in_flight > 0 && server_state(SITE_FRONT) == SERVER_UP)
        trace_event("client %llu: %llu commands were not answered before the end", session->client,
                    session->in_flight, 0, 0);
    for (unsigned i = 0; i < DEPTH_MAX; i++)
        if (session->commands[i].used)
            release(session, &session->commands[i]);
    wire_free(&session->wire);
    endpoint_close(session->wire.endpoint);
}
