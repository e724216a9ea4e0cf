/* Extents on their way to a client: BLOCK_STATUS that is gathered in parts, and reads that tell
 * holes, on the fake loop and the fake backend; whatever fails, vanishes or lacks on the way. */
#include <errno.h>

#include "tests/support/check.h"
#include "tests/support/fake-server.h"

#define STRIPE_BYTES 65536u
#define LIST_EXTENTS ((PIECE_EXTENTS_BYTES - sizeof(struct extent_list)) / sizeof(struct extent))

static struct transmission *transmission(void)
{
    return server.worker.connections->transmission;
}

/* Data and holes in turn, each so long. */
static int attach(uint32_t extent_bytes)
{
    fake_server_open();
    server.backend.extent_bytes = extent_bytes;
    server.ex.limits.tells_zeros = true;
    int fd = fake_client_attach(true);
    transmission()->terms.contexts = META_CONTEXT_BIT(0);
    return fd;
}

/* ---- block status ---- */

/* A chunk of the reply to one of the whole disk; how many extents it has. */
static uint32_t take_context(int fd, uint32_t extent_bytes, unsigned context, bool last)
{
    uint8_t bytes[NBD_CHUNK_HEADER_BYTES], descriptor[8];
    struct nbd_chunk chunk;

    fake_client_take(fd, bytes, sizeof bytes);
    EXPECT(nbd_decode_chunk(bytes, &chunk));
    EXPECT(chunk.type == NBD_REPLY_TYPE_BLOCK_STATUS);
    EXPECT(chunk.flags == (last ? NBD_REPLY_FLAG_DONE : 0));
    fake_client_take(fd, descriptor, 4);
    EXPECT(nbd_get_u32(descriptor) == NBD_CONTEXT_BASE_ALLOCATION_ID + context);
    uint32_t count = (chunk.length_bytes - 4) / 8;
    for (uint32_t i = 0; i < count; i++) {
        fake_client_take(fd, descriptor, 8);
        EXPECT(nbd_get_u32(descriptor) == extent_bytes);
        EXPECT(nbd_get_u32(descriptor + 4) ==
               context * FAKE_CONTEXT_FLAGS + (i % 2 ? EXTENT_HOLE | EXTENT_ZERO : 0));
    }
    return count;
}

static uint32_t take_status(int fd, uint32_t extent_bytes)
{
    return take_context(fd, extent_bytes, 0, true);
}

/* An error chunk, which ends a reply. */
static uint32_t take_error(int fd)
{
    uint8_t bytes[NBD_CHUNK_HEADER_BYTES], text[512];
    struct nbd_chunk chunk;

    fake_client_take(fd, bytes, sizeof bytes);
    EXPECT(nbd_decode_chunk(bytes, &chunk));
    EXPECT(chunk.type == NBD_REPLY_TYPE_ERROR && chunk.flags == NBD_REPLY_FLAG_DONE);
    EXPECT(chunk.length_bytes <= sizeof text);
    fake_client_take(fd, text, chunk.length_bytes);
    return nbd_get_u32(text);
}

static void one_chunk(void)
{
    int fd = attach(512);

    for (unsigned i = 0; i < 3; i++)
        fake_client_send(fd, NBD_CMD_BLOCK_STATUS, i, 0, FAKE_DISK_BYTES);
    for (unsigned i = 0; i < 3; i++)
        EXPECT(take_status(fd, 512) == FAKE_DISK_BYTES / 512);
    fake_client_leave(fd);
    fake_server_close();
}

static void failing_part(void)
{
    int fd = attach(512);

    server.backend.fail_error = EIO;
    server.backend.fail_at = 3;
    fake_client_send(fd, NBD_CMD_BLOCK_STATUS, 1, 0, FAKE_DISK_BYTES);
    EXPECT(take_status(fd, 512) == 2 * LIST_EXTENTS);
    fake_client_leave(fd);
    fake_server_close();
}

static void little_memory(void)
{
    int fd = attach(512);

    transmission()->holds.bytes_max = PIECE_EXTENTS_BYTES;
    fake_client_send(fd, NBD_CMD_BLOCK_STATUS, 1, 0, FAKE_DISK_BYTES);
    EXPECT(take_status(fd, 512) == HOLDINGS_PARTS_FACTOR * LIST_EXTENTS);
    fake_client_leave(fd);
    fake_server_close();
}

/* What is in flight is held, and comes back one by one. */
static void vanishing_between_parts(void)
{
    for (unsigned parts = 0; parts < 8; parts++)
        for (unsigned how = 0; how < 2; how++) {
            int fd = attach(512);

            server.backend.hold = true;
            for (unsigned i = 0; i < 2; i++)
                fake_client_send(fd, NBD_CMD_BLOCK_STATUS, i, 0, FAKE_DISK_BYTES);
            fake_loop_run(server.loop);
            for (unsigned i = 0; i < parts; i++) {
                fake_backend_release(&server.backend, 0);
                fake_loop_run(server.loop);
            }
            if (how == 0)
                fake_socket_reset(server.loop, fd);
            else
                fake_socket_end(server.loop, fd);
            fake_loop_run(server.loop);
            fake_server_close();
        }
}

/* ---- several metadata contexts ---- */

#define CONTEXTS (META_CONTEXT_BIT(0) | META_CONTEXT_BIT(2) | META_CONTEXT_BIT(15))

static int attach_contexts(uint32_t extent_bytes)
{
    int fd = attach(extent_bytes);

    transmission()->terms.contexts = CONTEXTS;
    return fd;
}

static void one_chunk_each(void)
{
    int fd = attach_contexts(512);

    for (unsigned i = 0; i < 2; i++) {
        fake_client_send(fd, NBD_CMD_BLOCK_STATUS, i, 0, FAKE_DISK_BYTES);
        EXPECT(take_context(fd, 512, 0, false) == FAKE_DISK_BYTES / 512);
        EXPECT(take_context(fd, 512, 2, false) == FAKE_DISK_BYTES / 512);
        EXPECT(take_context(fd, 512, 15, true) == FAKE_DISK_BYTES / 512);
    }
    fake_client_leave(fd);
    fake_server_close();
}

/* A part that fails, of a chunk that has begun or not. */
static void failing_context(void)
{
    static const uint32_t parts = (FAKE_DISK_BYTES / 512 + LIST_EXTENTS - 1) / LIST_EXTENTS;

    for (unsigned later = 0; later < 2; later++) {
        int fd = attach_contexts(512);

        server.backend.fail_error = EIO;
        server.backend.fail_at = parts + 1 + later;
        fake_client_send(fd, NBD_CMD_BLOCK_STATUS, 1, 0, FAKE_DISK_BYTES);
        EXPECT(take_context(fd, 512, 0, false) == FAKE_DISK_BYTES / 512);
        if (later == 0) {
            EXPECT(take_error(fd) == NBD_EIO);
        } else {
            EXPECT(take_context(fd, 512, 2, false) == LIST_EXTENTS);
            EXPECT(take_context(fd, 512, 15, true) == FAKE_DISK_BYTES / 512);
        }
        fake_client_leave(fd);
        fake_server_close();
    }
}

/* Each command may hold one buffer, and takes no other before that has left. */
static void contexts_with_little_memory(void)
{
    int fd = attach_contexts(512);

    transmission()->holds.bytes_max = PIECE_EXTENTS_BYTES;
    for (unsigned i = 0; i < 4; i++)
        fake_client_send(fd, NBD_CMD_BLOCK_STATUS, i, 0, LIST_EXTENTS * 512);
    fake_loop_run(server.loop);
    EXPECT(transmission()->holds.bytes <= HOLDINGS_PARTS_FACTOR * PIECE_EXTENTS_BYTES);
    fake_socket_reset(server.loop, fd);
    fake_loop_run(server.loop);
    fake_server_close();
}

/* The backend answers so many of the requests that it holds; then the connection is reset, or the
 * client ends it. */
static void vanish_after(int fd, unsigned answers, unsigned how)
{
    fake_loop_run(server.loop);
    for (unsigned i = 0; i < answers && server.backend.held_count > 0; i++) {
        fake_backend_release(&server.backend, server.backend.held_count - 1);
        fake_loop_run(server.loop);
    }
    if (how == 0)
        fake_socket_reset(server.loop, fd);
    else
        fake_socket_end(server.loop, fd);
    fake_loop_run(server.loop);
    fake_server_close();
}

static void vanishing_between_contexts(void)
{
    for (unsigned parts = 0; parts < 12; parts++)
        for (unsigned how = 0; how < 2; how++) {
            int fd = attach_contexts(STRIPE_BYTES);

            server.backend.hold = true;
            for (unsigned i = 0; i < 3; i++)
                fake_client_send(fd, NBD_CMD_BLOCK_STATUS, i, 0, FAKE_DISK_BYTES);
            vanish_after(fd, parts, how);
        }
}

/* ---- reads ---- */

static int attach_sparse(void)
{
    int fd = attach(STRIPE_BYTES);

    for (uint64_t at = STRIPE_BYTES; at < FAKE_DISK_BYTES; at += 2 * STRIPE_BYTES)
        memset(server.backend.disk + at, 0, STRIPE_BYTES);
    server.backend.fail_error = EIO;
    return fd;
}

static void reads_of_any_range(void)
{
    static const uint64_t offsets[] = { 0, 1, 4095, STRIPE_BYTES, STRIPE_BYTES + 4097, 1000003 };
    static const uint32_t lengths[] = { 4096, 65535, 65536, 100001, 262144, 3u << 20, 32u << 20 };
    int fd = attach_sparse();

    for (unsigned o = 0; o < sizeof offsets / sizeof offsets[0]; o++)
        for (unsigned l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
            fake_client_send(fd, NBD_CMD_READ, 1, offsets[o], lengths[l]);
            EXPECT(fake_client_take_read(fd, 1, lengths[l]) == 0);
        }
    fake_client_leave(fd);
    fake_server_close();
}

static void reads_of_holes(void)
{
    int fd = attach_sparse();

    fake_client_send(fd, NBD_CMD_READ, 1, STRIPE_BYTES, STRIPE_BYTES);
    EXPECT(fake_client_take_read(fd, 1, STRIPE_BYTES) == 0);
    EXPECT(server.backend.seen == 1); /* it was asked, and not read */
    fake_client_leave(fd);
    fake_server_close();
}

static void failing_reads(void)
{
    for (unsigned fail_at = 1; fail_at <= 12; fail_at++) {
        int fd = attach_sparse();

        server.backend.fail_at = fail_at;
        fake_client_send(fd, NBD_CMD_READ, 1, 0, 1u << 20);
        uint32_t error = fake_client_take_read(fd, 1, 1u << 20);
        /* One look, and a read for each stripe of data; without the look it is read as others. */
        EXPECT(error == (fail_at > 1 && fail_at <= 9 ? NBD_EIO : 0));
        server.backend.fail_at = 0;
        fake_client_send(fd, NBD_CMD_READ, 2, 0, 4096);
        EXPECT(fake_client_take_read(fd, 2, 4096) == 0);
        fake_client_leave(fd);
        fake_server_close();
    }
}

static void vanishing_within_reads(void)
{
    for (unsigned steps = 0; steps < 12; steps++)
        for (unsigned how = 0; how < 2; how++) {
            int fd = attach_sparse();

            server.backend.hold = true;
            for (unsigned i = 0; i < 3; i++)
                fake_client_send(fd, NBD_CMD_READ, i, i * STRIPE_BYTES, 2u << 20);
            vanish_after(fd, steps, how);
        }
}

/* Those who take nothing hold what they have; the others go on. */
static void stalled_readers(void)
{
    int stalled[20];
    int fd = attach_sparse();

    for (unsigned i = 0; i < 20; i++) {
        stalled[i] = fake_client_attach(true);
        fake_socket_window(server.loop, stalled[i], 1000);
        for (unsigned k = 0; k < 100; k++)
            fake_client_send(stalled[i], NBD_CMD_READ, k, 0, 1u << 20);
    }
    fake_loop_run(server.loop);
    for (unsigned i = 0; i < 50; i++) {
        fake_client_send(fd, NBD_CMD_READ, i, i * 4096, 1u << 20);
        EXPECT(fake_client_take_read(fd, i, 1u << 20) == 0);
    }
    fake_client_leave(fd);
    for (unsigned i = 0; i < 20; i++)
        fake_socket_reset(server.loop, stalled[i]);
    fake_loop_run(server.loop);
    fake_server_close();
}

static const struct check checks[] = {
    { "block status that fills many lists is one chunk", one_chunk },
    { "a part of it that fails ends the reply with what is known", failing_part },
    { "so does a lack of memory", little_memory },
    { "a client that vanishes between its parts leaves nothing behind", vanishing_between_parts },
    { "each metadata context has a chunk, and the last one ends the reply", one_chunk_each },
    { "one that fails ends the reply, or what is known of it is told", failing_context },
    { "contexts need no more memory than one of them", contexts_with_little_memory },
    { "a client that vanishes between them leaves nothing behind", vanishing_between_contexts },
    { "a sparse read covers its range once, and holes are zeros", reads_of_any_range },
    { "a hole is not read", reads_of_holes },
    { "whatever fails in a sparse read, it is answered once", failing_reads },
    { "a client that vanishes within sparse reads leaves nothing behind", vanishing_within_reads },
    { "sparse reads that nobody takes starve nobody", stalled_readers },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
