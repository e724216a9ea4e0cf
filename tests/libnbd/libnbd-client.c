/* libnbd as the client: what its asynchronous calls get is held against a model.
 *
 *     libnbd-client requests URI CONNECTIONS DEPTH COUNT SEED    any mix, at any place
 *     libnbd-client order URI                  what was written on one connection is read on others
 *     libnbd-client close URI                  connections that end with requests in flight
 *     libnbd-client wrong URI                  what the standard forbids, each with its error
 *     libnbd-client read-only URI              and on an export that is read-only
 *     libnbd-client options URI [NAME SIZE]... what the handshake tells, without attaching
 *
 * Exit status: 0 all is right; 1 with a sentence for each answer that is wrong. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/libnbd/libnbd-options.h"
#include "tests/libnbd/libnbd-requests.h"

#define CONNECTIONS_MAX 16u
#define LENGTH_MAX (256u << 10)
#define PROGRAM_S_MAX 240u

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

static struct disk_model model;
static struct requests all = { .model = &model };
static struct nbd_handle *connections[CONNECTIONS_MAX];
static unsigned connection_count;

static void open_connections(const char *uri, unsigned count)
{
    for (connection_count = 0; connection_count < count; connection_count++)
        connections[connection_count] = connect_to(uri);
    if (model.bytes == NULL)
        disk_model_init(&model, (uint64_t)nbd_get_size(connections[0]));
    if (count > 1 && nbd_can_multi_conn(connections[0]) != 1)
        wrong("MULTI_CONN is not offered");
    if (strstr(uri, "nbds") == uri && nbd_get_tls_negotiated(connections[0]) != 1)
        wrong("there is no TLS");
}

/* In order, and the server has ended them. */
static void close_connections(void)
{
    for (unsigned i = 0; i < connection_count; i++) {
        if (nbd_shutdown(connections[i], 0) != 0)
            wrong("shutdown: %s", nbd_get_error());
        nbd_close(connections[i]);
    }
    connection_count = 0;
}

static void drain(void)
{
    requests_drain(&all, connections, connection_count);
}

/* ---- any mix ---- */

static uint64_t draw_length(void)
{
    switch (draw(6)) {
    case 0:
        return 1 + draw(600);
    case 1:
        return 512 * (1 + draw(16));
    case 2:
        return LENGTH_MAX - draw(3);
    default:
        return 4096 * (1 + draw(8));
    }
}

static uint32_t draw_flags(struct nbd_handle *nbd, enum kind kind, uint64_t *length_bytes)
{
    uint32_t flags = 0;

    if ((kind == WRITE || kind == ZERO || kind == TRIM) && nbd_can_fua(nbd) == 1 && draw(8) == 0)
        flags |= LIBNBD_CMD_FLAG_FUA;
    if (kind == ZERO && draw(2) == 0)
        flags |= LIBNBD_CMD_FLAG_NO_HOLE;
    if (kind == STATUS && draw(2) == 0)
        flags |= LIBNBD_CMD_FLAG_REQ_ONE;
    if (kind == READ_CHUNKS && nbd_can_df(nbd) == 1 && draw(3) == 0) {
        flags |= LIBNBD_CMD_FLAG_DF;
        /* More may be refused (proto.md, NBD_CMD_FLAG_DF). */
        *length_bytes = 1 + *length_bytes % 65536;
    }
    return flags;
}

static void submit_any(void)
{
    static const enum kind mix[] = { READ, READ,   READ_CHUNKS, READ_CHUNKS, WRITE, WRITE,
                                     ZERO, STATUS, TRIM,        CACHE,       FLUSH, WRITE };
    struct nbd_handle *nbd = connections[draw(connection_count)];
    enum kind kind = mix[draw(sizeof mix / sizeof mix[0])];
    uint64_t length_bytes = draw_length(), offset_bytes;

    uint32_t flags = draw_flags(nbd, kind, &length_bytes);
    if (length_bytes > model.size_bytes)
        length_bytes = model.size_bytes;
    offset_bytes = draw(model.size_bytes - length_bytes + 1);
    if (draw(2) == 0)
        offset_bytes &= ~(uint64_t)4095;
    request_submit(&all, nbd, kind, offset_bytes, length_bytes, flags, false);
}

static void read_all(void)
{
    for (uint64_t at = 0; at < model.size_bytes; at += LENGTH_MAX) {
        uint64_t left = model.size_bytes - at;

        request_submit(&all, connections[at / LENGTH_MAX % connection_count], READ_CHUNKS, at,
                       left < LENGTH_MAX ? left : LENGTH_MAX, 0, false);
    }
    drain();
}

static void check_requests(int argc, char **argv)
{
    unsigned depth = argc > 2 ? (unsigned)number(argv[2]) : 16;
    uint64_t count = argc > 3 ? number(argv[3]) : 1000;

    draw_seed(argc > 4 ? number(argv[4]) : 1);
    open_connections(argv[0], argc > 1 ? (unsigned)number(argv[1]) : 1);
    for (uint64_t i = 0; i < count && wrong_count() == 0; i++) {
        submit_any();
        while (all.in_flight >= depth)
            requests_wait(connections, connection_count);
    }
    drain();
    read_all();
    if (all.most_in_flight < depth)
        wrong("only %u requests were ever in flight", all.most_in_flight);
    for (unsigned kind = 0; kind < KINDS; kind++)
        if (all.asked[kind] != all.answered[kind])
            wrong("kind %u: %llu asked, %llu answered", kind, (unsigned long long)all.asked[kind],
                  (unsigned long long)all.answered[kind]);
    printf("%u connections, %u in flight:", connection_count, all.most_in_flight);
    for (unsigned kind = 0; kind < KINDS; kind++)
        printf(" %llu", (unsigned long long)all.answered[kind]);
    printf("\n");
    close_connections();
}

/* ---- one connection, and another ---- */

/* An answer tells that others see it, and a FLUSH of any connection is one of all. */
static void check_order(int argc, char **argv)
{
    static const enum kind changes[] = { WRITE, ZERO };

    (void)argc;
    open_connections(argv[0], 4);
    for (unsigned i = 0; i < 200; i++) {
        unsigned first = i % 4;
        uint64_t length_bytes = 1 + draw(20000);
        uint64_t at = draw(model.size_bytes - length_bytes);

        request_submit(&all, connections[first], changes[i % 2], at, length_bytes,
                       i % 3 == 0 ? LIBNBD_CMD_FLAG_FUA : 0, false);
        drain();
        request_submit(&all, connections[(first + 1) % 4], FLUSH, 0, 0, 0, false);
        request_submit(&all, connections[(first + 2) % 4], READ, at, length_bytes, 0, false);
        request_submit(&all, connections[(first + 3) % 4], STATUS, at, length_bytes, 0, false);
        drain();
    }
    read_all();
    close_connections();
}

/* ---- connections that end ---- */

/* NBD_CMD_DISC after them: proto.md has the server answer what is in flight. */
static void disconnect_behind_requests(const char *uri)
{
    unsigned submitted = 0;

    open_connections(uri, 1);
    while (submitted < 200)
        submitted += request_submit(&all, connections[0], draw(2) == 0 ? WRITE : READ,
                                    draw(model.size_bytes - 65536), 1 + draw(65536), 0, false);
    if (nbd_aio_disconnect(connections[0], 0) != 0)
        wrong("disconnect: %s", nbd_get_error());
    while (!nbd_aio_is_closed(connections[0]) && all.in_flight > 0)
        requests_wait(connections, 1);
    if (all.in_flight > 0)
        wrong("%u requests before the disconnection were not answered", all.in_flight);
    nbd_close(connections[0]);
    open_connections(uri, 1);
    read_all();
    close_connections();
}

/* The socket is closed at once.  Each byte is then the old or the new one; which, nobody knows, nor
 * when the server has done the last of it: so they stay as they are, and others go on. */
static void close_upon_requests(const char *uri)
{
    uint64_t half = model.size_bytes / 2;

    for (unsigned round = 0; round < 20; round++) {
        unsigned submitted = 0;

        open_connections(uri, 2);
        while (submitted < 100) {
            submitted += request_submit(&all, connections[0], draw(2) == 0 ? WRITE : READ,
                                        draw(half - 65536), 1 + draw(65536), 0, true);
            request_submit(&all, connections[1], draw(2) == 0 ? WRITE : READ_CHUNKS,
                           half + draw(half - 65536), 1 + draw(65536), 0, false);
            if (draw(10) == 0)
                requests_wait(connections, 2);
        }
        nbd_close(connections[0]); /* and all that was in flight there is lost */
        connections[0] = connections[1];
        connection_count = 1;
        drain();
        disk_model_forget(&model, 0, half);
        close_connections();
    }
    open_connections(uri, 1);
    for (uint64_t at = half; at + LENGTH_MAX <= model.size_bytes; at += LENGTH_MAX)
        request_submit(&all, connections[0], READ, at, LENGTH_MAX, 0, false);
    drain();
    close_connections();
}

static void check_close(int argc, char **argv)
{
    (void)argc;
    for (unsigned i = 0; i < 5; i++)
        disconnect_behind_requests(argv[0]);
    if (all.lost != 0)
        wrong("%llu requests were lost", (unsigned long long)all.lost);
    close_upon_requests(argv[0]);
    printf("%llu requests were in flight when their connection was closed\n",
           (unsigned long long)all.lost);
    if (all.lost == 0)
        wrong("no connection was closed while requests were in flight");
}

/* ---- what is forbidden ---- */

static struct nbd_handle *nbd;
static uint8_t data[65536];

static void expect(const char *what, int result, int error)
{
    int found = result == -1 ? nbd_get_errno() : 0;

    if (found != error)
        wrong("%s: %s instead of %s", what, strerror(found), strerror(error));
    /* The connection goes on. */
    if (nbd_pread(nbd, data, 512, 0, 0) != 0)
        wrong("after %s: %s", what, nbd_get_error());
}

static int ignore_extents(void *context, const char *metacontext, uint64_t offset_bytes,
                          uint32_t *entries, size_t entry_count, int *error)
{
    (void)context;
    (void)metacontext;
    (void)offset_bytes;
    (void)entries;
    (void)entry_count;
    (void)error;
    return 0;
}

static const nbd_extent_callback no_extents = { .callback = ignore_extents };

static void check_beyond_the_end(uint64_t size)
{
    static const uint64_t beyond[] = { 0, 1, 512, 1ull << 40, 1ull << 62 };

    for (unsigned i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        uint64_t at = size - 1 + beyond[i];

        expect("a read beyond the end", nbd_pread(nbd, data, 4096, at, 0), EINVAL);
        expect("a write beyond the end", nbd_pwrite(nbd, data, 4096, at, 0), ENOSPC);
        expect("zeros beyond the end", nbd_zero(nbd, 4096, at, 0), ENOSPC);
        expect("a trim beyond the end", nbd_trim(nbd, 4096, at, 0), EINVAL);
        expect("a cache beyond the end", nbd_cache(nbd, 4096, at, 0), EINVAL);
        expect("a status beyond the end", nbd_block_status(nbd, 4096, at, no_extents, 0), EINVAL);
    }
}

static void check_flags(void)
{
    expect("a read with FUA, which means nothing", nbd_pread(nbd, data, 512, 0, 1), 0);
    expect("a read with REQ_ONE", nbd_pread(nbd, data, 512, 0, LIBNBD_CMD_FLAG_REQ_ONE), EINVAL);
    expect("a write with DF", nbd_pwrite(nbd, data, 512, 0, LIBNBD_CMD_FLAG_DF), EINVAL);
    expect("zeros with REQ_ONE", nbd_zero(nbd, 512, 0, LIBNBD_CMD_FLAG_REQ_ONE), EINVAL);
    for (unsigned bit = 6; bit < 16; bit++) {
        expect("a read with an unknown flag", nbd_pread(nbd, data, 512, 0, 1u << bit), EINVAL);
        expect("a write with an unknown flag", nbd_pwrite(nbd, data, 512, 0, 1u << bit), EINVAL);
        expect("a flush with an unknown flag", nbd_flush(nbd, 1u << bit), EINVAL);
    }
}

static void check_no_length(uint64_t size)
{
    /* proto.md leaves open what they do: 0 or EINVAL; but the connection goes on. */
    (void)nbd_pwrite(nbd, data, 0, 0, 0);
    (void)nbd_zero(nbd, 0, 0, 0);
    (void)nbd_trim(nbd, 0, size, 0);
    (void)nbd_pread(nbd, data, 0, size, 0);
    (void)nbd_block_status(nbd, 0, 0, no_extents, 0);
    if (nbd_pread(nbd, data, 512, 0, 0) != 0)
        wrong("after requests of no length: %s", nbd_get_error());
}

/* Without structured replies there are neither DF nor BLOCK_STATUS. */
static void check_simple_replies(const char *uri)
{
    nbd_close(nbd);
    nbd = nbd_create();
    if (nbd_set_request_structured_replies(nbd, false) != 0 || nbd_set_strict_mode(nbd, 0) != 0 ||
        nbd_set_uri_allow_local_file(nbd, true) != 0 || nbd_connect_uri(nbd, uri) != 0) {
        wrong("connecting without structured replies: %s", nbd_get_error());
        return;
    }
    expect("DF without structured replies", nbd_pread(nbd, data, 512, 0, LIBNBD_CMD_FLAG_DF),
           EINVAL);
}

static void check_wrong(int argc, char **argv)
{
    (void)argc;
    nbd = connect_to(argv[0]);
    uint64_t size = (uint64_t)nbd_get_size(nbd);

    check_beyond_the_end(size);
    check_flags();
    check_no_length(size);
    check_simple_replies(argv[0]);
    nbd_close(nbd);
}

static void check_read_only(int argc, char **argv)
{
    (void)argc;
    nbd = connect_to(argv[0]);
    if (nbd_is_read_only(nbd) != 1)
        wrong("the export is not read-only");
    expect("a write to a read-only export", nbd_pwrite(nbd, data, 65536, 0, 0), EPERM);
    expect("zeros in a read-only export", nbd_zero(nbd, 65536, 0, 0), EPERM);
    expect("a trim of a read-only export", nbd_trim(nbd, 65536, 0, 0), EPERM);
    expect("a write with FUA", nbd_pwrite(nbd, data, 1, 3, LIBNBD_CMD_FLAG_FUA), EPERM);
    expect("a flush", nbd_flush(nbd, 0), 0);
    nbd_close(nbd);
}

static const struct test {
    const char *name;
    void (*run)(int argc, char **argv); /* from the URI on */
} tests[] = {
    { "requests", check_requests }, { "order", check_order },         { "close", check_close },
    { "wrong", check_wrong },       { "read-only", check_read_only }, { "options", check_options },
};

int main(int argc, char **argv)
{
    alarm(PROGRAM_S_MAX);
    for (unsigned i = 0; argc > 2 && i < sizeof tests / sizeof tests[0]; i++) {
        if (strcmp(argv[1], tests[i].name) != 0)
            continue;
        tests[i].run(argc - 2, argv + 2);
        if (model.bytes != NULL)
            disk_model_free(&model);
        printf("%s: %u answers are wrong\n", argv[1], wrong_count());
        return wrong_count() == 0 ? 0 : 1;
    }
    fprintf(stderr, "libnbd-client TEST URI ...\n");
    return 2;
}
