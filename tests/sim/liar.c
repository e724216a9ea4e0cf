#include "tests/sim/liar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/nbd/nbd-wire.h"
#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/server.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"

#define LOOK_NS NS_PER_MS
#define PAYLOAD_BYTES_MAX (33u << 20)
#define RAW_BYTES 4096u
#define FLOOD_MAX 3000u
#define OPENINGS_SPARED 3u /* one of so many */

/* A connection of the front, and the one to the store that belongs to it. */
struct middle {
    struct middle *next; /* of all that there are */
    struct endpoint *front, *store;
    unsigned fibers; /* that forward */
    bool knew;       /* the front knew what the export is when it connected */
    bool spared;     /* nothing that is said on it is changed */
    bool silent;     /* nothing of the store arrives any more */
    uint8_t *known;  /* a reply that was said before; NULL: none */
    size_t known_bytes;
    uint8_t *held; /* a reply that comes after the next one; NULL: none */
    size_t held_bytes;
};

/* A reply, or an answer in the handshake, as the store has sent it. */
struct message {
    uint8_t *bytes;
    size_t header_bytes, length_bytes; /* the payload is behind the header */
};

static bool honest;
static struct middle *middles;

static uint64_t below(uint64_t bound)
{
    return random_below(STREAM_NETWORK, bound);
}

static bool lies_now(const struct middle *middle)
{
    return !honest && !middle->spared && random_chance(STREAM_NETWORK, (unsigned)options.lies);
}

void liar_ends(void)
{
    honest = true;
}

static bool say(struct middle *middle, const void *bytes, size_t length_bytes)
{
    return middle->silent || endpoint_send_all(middle->front, bytes, length_bytes);
}

static bool say_all(struct middle *middle, const struct message *message)
{
    return say(middle, message->bytes, message->length_bytes);
}

/* ---- lies about anything ---- */

static void flip(uint8_t *bytes, size_t count)
{
    bytes[below(count)] ^= (uint8_t)(1u << below(8));
}

static bool wrong_magic(struct middle *middle, struct message *message)
{
    flip(message->bytes, 4);
    return say_all(middle, message);
}

static bool garbage(struct middle *middle, struct message *message)
{
    uint8_t bytes[100];

    random_bytes(STREAM_NETWORK, bytes, sizeof(bytes));
    return say(middle, bytes, 1 + below(sizeof(bytes))) && say_all(middle, message);
}

static bool cut(struct middle *middle, struct message *message)
{
    mark(MARK_lie_cut);
    (void)say(middle, message->bytes, below(message->length_bytes));
    if (below(2) == 0)
        return false;
    endpoint_shutdown(middle->front, false, true); /* what was said arrives */
    middle->silent = true;
    return true;
}

static bool silence(struct middle *middle, struct message *message)
{
    mark(MARK_lie_silence);
    (void)say(middle, message->bytes, below(message->length_bytes));
    middle->silent = true;
    return true;
}

static bool left_out(struct middle *middle, struct message *message)
{
    (void)middle;
    (void)message;
    return true;
}

static bool twice(struct middle *middle, struct message *message)
{
    return say_all(middle, message) && say_all(middle, message);
}

static uint32_t odd_length(uint32_t length_bytes)
{
    const uint32_t lengths[] = { length_bytes + 1, length_bytes - 1,      0,
                                 UINT32_MAX,       NBD_PAYLOAD_BYTES_MAX, 4 };

    return lengths[below(sizeof(lengths) / sizeof(lengths[0]))];
}

/* ---- lies in the handshake ---- */

static bool wrong_option(struct middle *middle, struct message *message)
{
    if (message->header_bytes >= NBD_OPTION_REPLY_BYTES)
        nbd_put_u32(message->bytes + 8, nbd_get_u32(message->bytes + 8) + 1);
    return say_all(middle, message);
}

static bool wrong_answer_type(struct middle *middle, struct message *message)
{
    static const uint32_t types[] = {
        NBD_REP_ACK,       NBD_REP_SERVER,     NBD_REP_INFO,         NBD_REP_META_CONTEXT,
        NBD_REP_ERR_UNSUP, NBD_REP_ERR_POLICY, NBD_REP_ERR_SHUTDOWN, 77,
        UINT32_MAX
    };

    nbd_put_u32(message->bytes + 12, types[below(sizeof(types) / sizeof(types[0]))]);
    return say_all(middle, message);
}

static bool wrong_answer_length(struct middle *middle, struct message *message)
{
    nbd_put_u32(message->bytes + 16, odd_length(nbd_get_u32(message->bytes + 16)));
    return say_all(middle, message);
}

/* The disk has another size, or can do something else than before. */
static bool wrong_export(struct middle *middle, struct message *message)
{
    uint8_t *info = message->bytes + message->header_bytes;
    const uint64_t sizes[] = { 0, 1, 512, UINT64_MAX, (uint64_t)1 << 62 };

    if (nbd_get_u32(message->bytes + 12) != NBD_REP_INFO ||
        message->length_bytes != message->header_bytes + 12 || nbd_get_u16(info) != NBD_INFO_EXPORT)
        return say_all(middle, message);
    mark(MARK_lie_about_the_disk);
    if (below(2) == 0)
        nbd_put_u64(info + 2, below(2) == 0 ? sizes[below(5)] : nbd_get_u64(info + 2) + 4096);
    else
        nbd_put_u16(info + 10, (uint16_t)(nbd_get_u16(info + 10) ^ (1u << below(12))));
    return say_all(middle, message);
}

static bool without_end(struct middle *middle, struct message *message)
{
    for (unsigned i = 0; i < FLOOD_MAX; i++)
        if (!say_all(middle, message))
            return false;
    return true;
}

typedef bool lie_fn(struct middle *middle, struct message *message);

/* Each ends the handshake, whatever the front knows; the others need to be told from what was. */
static lie_fn *const first_lies[] = { wrong_magic, garbage, cut, silence, wrong_option };
static lie_fn *const answer_lies[] = { wrong_magic,  garbage,      cut,
                                       silence,      left_out,     twice,
                                       wrong_export, wrong_export, wrong_answer_length,
                                       wrong_option, without_end,  wrong_answer_type };

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static bool pass_on_in_handshake(struct middle *middle, struct message *message, bool greeting)
{
    if (!lies_now(middle))
        return say_all(middle, message);
    volumes_trouble();
    mark(MARK_lie_in_handshake);
    unsigned chosen =
        (unsigned)below(greeting || !middle->knew ? COUNT(first_lies) : COUNT(answer_lies));
    trace_event("the liar changes an answer of the handshake, by his way %llu", chosen, 0, 0, 0);
    return greeting || !middle->knew ? first_lies[chosen](middle, message)
                                     : answer_lies[chosen](middle, message);
}

/* ---- lies about replies ---- */

static bool is_extended(const struct message *message)
{
    return message->header_bytes == NBD_EXTENDED_CHUNK_HEADER_BYTES;
}

static bool is_chunk(const struct message *message)
{
    return message->header_bytes == NBD_CHUNK_HEADER_BYTES || is_extended(message);
}

static bool is_chunk_of(const struct message *message, uint16_t type)
{
    return is_chunk(message) && nbd_get_u16(message->bytes + 6) == type;
}

/* Into the header of a chunk. */
static void put_length(uint8_t *header, bool extended, uint64_t length_bytes)
{
    if (extended)
        nbd_put_u64(header + 24, length_bytes);
    else
        nbd_put_u32(header + 16, (uint32_t)length_bytes);
}

static uint32_t payload_bytes_of(const struct message *message)
{
    return (uint32_t)(message->length_bytes - message->header_bytes);
}

/* Of no command that is in flight; so what it brings is nobody's data. */
static bool wrong_cookie(struct middle *middle, struct message *message)
{
    message->bytes[8] ^= (uint8_t)(1 + below(255));
    if (is_chunk_of(message, NBD_REPLY_TYPE_OFFSET_DATA) && payload_bytes_of(message) > 8)
        flip(message->bytes + message->header_bytes + 8, payload_bytes_of(message) - 8);
    return say_all(middle, message);
}

static bool wrong_length(struct middle *middle, struct message *message)
{
    uint64_t length_bytes;

    if (!is_chunk(message))
        return say_all(middle, message);
    length_bytes = odd_length(payload_bytes_of(message));
    if (is_extended(message) && below(4) == 0) /* the same in its lower half */
        length_bytes = payload_bytes_of(message) + ((uint64_t)1 << 32);
    put_length(message->bytes, is_extended(message), length_bytes);
    return say_all(middle, message);
}

static bool wrong_type(struct middle *middle, struct message *message)
{
    static const uint16_t types[] = { 0, 1, 3, 4, 5, 6, 100, 0x7fff, 0x8001, 0x8002, 0xffff };

    if (is_chunk(message))
        nbd_put_u16(message->bytes + 6, types[below(COUNT(types))]);
    return say_all(middle, message);
}

static bool wrong_end(struct middle *middle, struct message *message)
{
    if (is_chunk(message))
        nbd_put_u16(message->bytes + 4,
                    nbd_get_u16(message->bytes + 4) ^ (uint16_t)NBD_REPLY_FLAG_DONE);
    return say_all(middle, message);
}

static bool held_back(struct middle *middle, struct message *message)
{
    if (middle->held != NULL)
        return say_all(middle, message);
    mark(MARK_lie_held_back);
    middle->held = message->bytes;
    middle->held_bytes = message->length_bytes;
    message->bytes = NULL;
    return true;
}

static bool say_part(struct middle *middle, const struct message *message, uint32_t from,
                     uint32_t to, bool last)
{
    uint8_t header[NBD_EXTENDED_CHUNK_HEADER_BYTES + 8];
    uint16_t flags = nbd_get_u16(message->bytes + 4);
    size_t at = message->header_bytes;

    memcpy(header, message->bytes, at + 8);
    nbd_put_u16(header + 4, last ? flags : flags & (uint16_t)~NBD_REPLY_FLAG_DONE);
    put_length(header, is_extended(message), 8 + (uint64_t)(to - from));
    nbd_put_u64(header + at, nbd_get_u64(header + at) + from);
    return say(middle, header, at + 8) && say(middle, message->bytes + at + 8 + from, to - from);
}

/* Data in two pieces, in any order, which is allowed; or with a byte too few, or one twice. */
static bool in_pieces(struct middle *middle, struct message *message)
{
    uint32_t bytes = (uint32_t)(message->length_bytes - message->header_bytes - 8);

    if (!is_chunk_of(message, NBD_REPLY_TYPE_OFFSET_DATA) || bytes < 3)
        return say_all(middle, message);
    uint32_t at = 1 + (uint32_t)below(bytes - 2);
    uint32_t from = at + (uint32_t)below(3) - 1;

    mark(from == at ? MARK_lie_in_pieces : MARK_lie_overlaps);
    if (below(2) == 0)
        return say_part(middle, message, 0, at, false) &&
               say_part(middle, message, from, bytes, true);
    return say_part(middle, message, from, bytes, false) && say_part(middle, message, 0, at, true);
}

/* In a chunk of the kind that the connection has. */
static bool say_error_chunk(struct middle *middle, const struct message *message, uint32_t error,
                            bool done)
{
    uint8_t chunk[NBD_EXTENDED_CHUNK_HEADER_BYTES + 6];
    size_t at = is_extended(message) ? NBD_EXTENDED_CHUNK_HEADER_BYTES : NBD_CHUNK_HEADER_BYTES;

    memcpy(chunk, message->bytes, is_extended(message) ? at : NBD_SIMPLE_REPLY_BYTES);
    nbd_put_u32(chunk, is_extended(message) ? NBD_EXTENDED_CHUNK_MAGIC : NBD_CHUNK_MAGIC);
    nbd_put_u16(chunk + 4, done ? NBD_REPLY_FLAG_DONE : 0);
    nbd_put_u16(chunk + 6, NBD_REPLY_TYPE_ERROR);
    put_length(chunk, is_extended(message), 6);
    nbd_put_u32(chunk + at, error);
    nbd_put_u16(chunk + at + 4, 0);
    return say(middle, chunk, at + 6);
}

static bool errors_without_end(struct middle *middle, struct message *message)
{
    unsigned count = (unsigned)random_skewed(STREAM_NETWORK, 1, FLOOD_MAX);

    for (unsigned i = 0; i < count; i++)
        if (!say_error_chunk(middle, message, NBD_EIO, false))
            return false;
    return say_all(middle, message);
}

/* Of the data; or of the request, which a reply with extended headers repeats. */
static bool wrong_offset(struct middle *middle, struct message *message)
{
    uint8_t *at = message->bytes + message->header_bytes;

    if (is_extended(message) && below(2) == 0)
        at = message->bytes + 16;
    else if (!is_chunk_of(message, NBD_REPLY_TYPE_OFFSET_DATA))
        return say_all(middle, message);
    nbd_put_u64(at, nbd_get_u64(at) +
                        (below(2) == 0 ? 1 + below(4096) : (uint64_t)0 - 1 - below(4096)));
    return say_all(middle, message);
}

/* A simple reply, which there is none of where headers are extended. */
static bool say_error(struct middle *middle, const struct message *message, uint32_t error)
{
    uint8_t reply[NBD_SIMPLE_REPLY_BYTES];

    if (is_extended(message) && below(4) > 0)
        return say_error_chunk(middle, message, error, true);
    nbd_put_u32(reply, NBD_SIMPLE_REPLY_MAGIC);
    nbd_put_u32(reply + 4, error);
    memcpy(reply + 8, message->bytes + 8, 8);
    return say(middle, reply, sizeof(reply));
}

static bool shutting_down(struct middle *middle, struct message *message)
{
    return say_error(middle, message, NBD_ESHUTDOWN);
}

static bool an_error(struct middle *middle, struct message *message)
{
    static const uint32_t errors[] = { NBD_EIO, NBD_ENOSPC, NBD_EPERM, NBD_EINVAL, 12345 };

    return say_error(middle, message, errors[below(COUNT(errors))]);
}

/* Of nothing, or of another context, or not as many as it says. */
static bool wrong_extents(struct middle *middle, struct message *message)
{
    uint8_t *payload = message->bytes + message->header_bytes;
    size_t head_bytes = is_extended(message) ? 8 : 4, each_bytes = is_extended(message) ? 16 : 8;
    size_t count = (payload_bytes_of(message) - head_bytes) / each_bytes;

    if (!(is_chunk_of(message, NBD_REPLY_TYPE_BLOCK_STATUS) ||
          is_chunk_of(message, NBD_REPLY_TYPE_BLOCK_STATUS_EXT)) ||
        count == 0)
        return say_all(middle, message);
    if (below(2) == 0)
        flip(payload, head_bytes);
    else
        memset(payload + head_bytes + each_bytes * below(count), 0, is_extended(message) ? 8 : 4);
    return say_all(middle, message);
}

/* What was the answer to another command, which may have been in the same place. */
static bool an_old_one(struct middle *middle, struct message *message)
{
    if (middle->known != NULL && !say(middle, middle->known, middle->known_bytes))
        return false;
    return say_all(middle, message);
}

static lie_fn *const reply_lies[] = { an_old_one,
                                      an_old_one,
                                      an_old_one,
                                      wrong_magic,
                                      garbage,
                                      cut,
                                      silence,
                                      left_out,
                                      twice,
                                      wrong_cookie,
                                      wrong_length,
                                      wrong_type,
                                      wrong_end,
                                      held_back,
                                      held_back,
                                      in_pieces,
                                      in_pieces,
                                      in_pieces,
                                      errors_without_end,
                                      wrong_offset,
                                      wrong_offset,
                                      shutting_down,
                                      an_error,
                                      wrong_extents,
                                      wrong_extents };

/* Now and then another one. */
static void remember(struct middle *middle, const struct message *message)
{
    if (middle->known != NULL && below(4) > 0)
        return;
    free(middle->known);
    middle->known = malloc(message->length_bytes);
    if (middle->known == NULL)
        sim_fail("no memory");
    memcpy(middle->known, message->bytes, message->length_bytes);
    middle->known_bytes = message->length_bytes;
}

static bool pass_on_reply(struct middle *middle, struct message *message)
{
    uint8_t *held = middle->held;
    bool whole;

    if (lies_now(middle)) {
        unsigned chosen = (unsigned)below(COUNT(reply_lies));

        volumes_trouble();
        mark(MARK_lie_in_reply);
        trace_event("the liar changes a reply, by his way %llu", chosen, 0, 0, 0);
        whole = reply_lies[chosen](middle, message);
    } else {
        whole = say_all(middle, message);
        remember(middle, message);
    }
    if (held != NULL && held == middle->held) {
        whole = whole && say(middle, held, middle->held_bytes);
        free(held);
        middle->held = NULL;
    }
    return whole;
}

/* ---- forwarding ---- */

/* The rest of a message of which the header is there. */
static bool complete(struct middle *middle, struct message *message, const uint8_t *header,
                     size_t header_bytes, uint64_t payload_bytes)
{
    if (payload_bytes > PAYLOAD_BYTES_MAX)
        sim_fail("the store sends a payload of %llu bytes", (unsigned long long)payload_bytes);
    *message = (struct message){ .bytes = malloc(header_bytes + payload_bytes),
                                 .header_bytes = header_bytes,
                                 .length_bytes = header_bytes + payload_bytes };
    if (message->bytes == NULL)
        sim_fail("no memory");
    memcpy(message->bytes, header, header_bytes);
    return endpoint_receive_all(middle->store, message->bytes + header_bytes, payload_bytes);
}

static bool forward_handshake(struct middle *middle)
{
    uint8_t header[NBD_OPTION_REPLY_BYTES];
    struct message message;
    bool greeting = true, over = false, whole = true;

    while (whole && !over) {
        size_t header_bytes = greeting ? NBD_GREETING_BYTES : sizeof(header);

        if (!endpoint_receive_all(middle->store, header, header_bytes))
            return false;
        whole = complete(middle, &message, header, header_bytes,
                         greeting ? 0 : nbd_get_u32(header + 16));
        over = !greeting && nbd_get_u32(header + 8) == NBD_OPT_GO &&
               nbd_get_u32(header + 12) == NBD_REP_ACK;
        whole = whole && pass_on_in_handshake(middle, &message, greeting);
        free(message.bytes);
        greeting = false;
    }
    return whole;
}

static size_t header_bytes_of(const uint8_t magic[4])
{
    switch (nbd_get_u32(magic)) {
    case NBD_SIMPLE_REPLY_MAGIC:
        return NBD_SIMPLE_REPLY_BYTES;
    case NBD_CHUNK_MAGIC:
        return NBD_CHUNK_HEADER_BYTES;
    case NBD_EXTENDED_CHUNK_MAGIC:
        return NBD_EXTENDED_CHUNK_HEADER_BYTES;
    default:
        sim_fail("the store sends what is no reply");
    }
}

static bool forward_reply(struct middle *middle)
{
    uint8_t header[NBD_EXTENDED_CHUNK_HEADER_BYTES];
    struct message message;

    if (!endpoint_receive_all(middle->store, header, NBD_SIMPLE_REPLY_BYTES))
        return false;
    size_t header_bytes = header_bytes_of(header);
    if (header_bytes > NBD_SIMPLE_REPLY_BYTES &&
        !endpoint_receive_all(middle->store, header + NBD_SIMPLE_REPLY_BYTES,
                              header_bytes - NBD_SIMPLE_REPLY_BYTES))
        return false;
    bool whole = complete(middle, &message, header, header_bytes,
                          header_bytes == NBD_SIMPLE_REPLY_BYTES   ? 0
                          : header_bytes == NBD_CHUNK_HEADER_BYTES ? nbd_get_u32(header + 16)
                                                                   : nbd_get_u64(header + 24)) &&
                 pass_on_reply(middle, &message);
    free(message.bytes);
    return whole;
}

/* What is there; 0: no more comes. */
static size_t receive_some(struct endpoint *from, uint8_t bytes[RAW_BYTES])
{
    int64_t count;

    while ((count = endpoint_receive(from, bytes, RAW_BYTES)) == -EAGAIN)
        fiber_wait(from);
    return count > 0 ? (size_t)count : 0;
}

/* As often as the options say in RAW_BYTES, however small the pieces are in which they come: else
 * a long reply would hardly ever arrive where windows are small. */
static bool lies_about(const struct middle *middle, size_t length_bytes)
{
    return below(RAW_BYTES) < length_bytes && lies_now(middle);
}

/* Under TLS he does not know what is what. */
static bool forward_raw(struct middle *middle)
{
    static lie_fn *const lies[] = { garbage, cut, silence, left_out, twice };
    uint8_t bytes[RAW_BYTES];
    struct message message = { .bytes = bytes };

    message.length_bytes = receive_some(middle->store, bytes);
    if (message.length_bytes == 0)
        return false;
    if (!lies_about(middle, message.length_bytes))
        return say_all(middle, &message);
    volumes_trouble();
    mark(MARK_lie_under_tls);
    if (below(2) == 0)
        return lies[below(COUNT(lies))](middle, &message);
    flip(bytes, message.length_bytes);
    return say_all(middle, &message);
}

static void forget(const struct middle *middle)
{
    struct middle **link = &middles;

    while (*link != middle)
        link = &(*link)->next;
    *link = middle->next;
}

/* The front has left it, or he has; the store may still carry out what it was asked for there. */
static bool any_is_ending(void)
{
    for (const struct middle *middle = middles; middle != NULL; middle = middle->next)
        if (middle->fibers < 2 || endpoint_peer_is_closed(middle->front))
            return true;
    return false;
}

/* Both go; and who connects anew waits until the store has done what it was at (README.md). */
static void leave(struct middle *middle)
{
    endpoint_reset(middle->front);
    endpoint_reset(middle->store);
    if (--middle->fibers > 0)
        return;
    while (!endpoint_peer_is_closed(middle->store))
        fiber_sleep(LOOK_NS);
    forget(middle);
    endpoint_close(middle->front);
    endpoint_close(middle->store);
    free(middle->held);
    free(middle->known);
    free(middle);
}

static void *forward_answers(void *context)
{
    struct middle *middle = context;

    if (options.store_tls) {
        while (forward_raw(middle))
            ;
    } else if (forward_handshake(middle)) {
        while (forward_reply(middle))
            ;
    }
    leave(middle);
    return NULL;
}

static void *forward_questions(void *context)
{
    struct middle *middle = context;
    uint8_t bytes[RAW_BYTES];
    size_t count;

    while ((count = receive_some(middle->front, bytes)) > 0 &&
           endpoint_send_all(middle->store, bytes, count))
        ;
    leave(middle);
    return NULL;
}

/* A server that was started without its disk tries again once in a minute.  If it could be unlucky
 * each time, it would seem that it does not go on. */
static bool is_spared(const struct middle *middle)
{
    static unsigned openings;

    return !middle->knew && ++openings % OPENINGS_SPARED == 0;
}

struct endpoint *liar_connect(unsigned client)
{
    struct middle *middle = calloc(1, sizeof(*middle));
    struct endpoint *ends[2];

    if (middle == NULL)
        sim_fail("no memory");
    while (any_is_ending())
        fiber_sleep(LOOK_NS);
    middle->store = server_connect(SITE_STORE, client);
    if (middle->store == NULL) {
        free(middle);
        return NULL;
    }
    network_connect(ends);
    middle->front = ends[1];
    /* Who opens the disk anew believes what he is told of it: he knows nothing from before. */
    middle->knew = server_state(SITE_FRONT) == SERVER_UP && !server_disk_is_away();
    middle->spared = is_spared(middle);
    middle->fibers = 2;
    middle->next = middles;
    middles = middle;
    fiber_detach(fiber_start("answers", HOST_WORLD, forward_answers, middle));
    fiber_detach(fiber_start("questions", HOST_WORLD, forward_questions, middle));
    return ends[0];
}
