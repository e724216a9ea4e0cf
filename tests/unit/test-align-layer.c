/* The pipeline align / luks / backend on the fake loop and the fake backend: any offset and length,
 * nothing lost, nothing stored in plaintext, every failure reported once. */
#include <errno.h>

#include "server/block/align-layer.h"
#include "server/block/luks-layer.h"
#include "tests/support/check.h"
#include "tests/support/fake-backend.h"
#include "tests/support/fake-loop.h"

#define BLOCK 4096u
#define DISK_BYTES (64u * BLOCK)
#define PAYLOAD_AT (4u * BLOCK)
#define DATA_BYTES (DISK_BYTES - PAYLOAD_AT)

struct pipeline {
    struct loop *loop;
    struct range_lock *ranges;
    struct fake_backend fake;
    struct stage *stage;
    struct layer *top;
};

struct write {
    struct request request;
    struct buffer buffer;
    uint8_t *memory;
    unsigned completions;
};

static struct pipeline p;

static struct stage *luks_over(struct stage *below, uint32_t sector_bytes, bool zero_holes)
{
    struct luks_segment segment = {
        .type = LUKS_TYPE_2,
        .sector_bytes = sector_bytes,
        .payload_offset_bytes = PAYLOAD_AT,
        .payload_bytes = DATA_BYTES,
    };
    uint8_t key[64];
    struct secret *volume_key;
    struct stage *stage;
    struct error err;

    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(i * 7 + 1);
    EXPECT(cipher_spec_parse(&segment.cipher, "aes-xts-plain64", 512, &err) == 0);
    EXPECT(secret_copy(&volume_key, key, sizeof key, &err) == 0);
    EXPECT(luks_stage_create(&stage, below, &segment, volume_key,
                             (struct luks_holes){ .discard = true, .zero_holes = zero_holes },
                             &err) == 0);
    return stage;
}

static void open_pipeline_with(uint32_t sector_bytes, bool zero_holes)
{
    struct loop_config config = { .entries = 8 };
    struct error err;

    p = (struct pipeline){ 0 };
    EXPECT(loop_create(&p.loop, &config, &err) == 0);
    EXPECT(range_lock_create(&p.ranges, &err) == 0);
    fake_backend_init(&p.fake, DISK_BYTES, 512, -1);
    EXPECT(align_stage_create(&p.stage, luks_over(&p.fake.stage, sector_bytes, zero_holes),
                              p.ranges, &err) == 0);
    EXPECT(stage_attach(&p.top, p.stage, p.loop, &err) == 0);
}

static void open_pipeline(uint32_t sector_bytes)
{
    open_pipeline_with(sector_bytes, false);
}

static void close_pipeline(void)
{
    layer_detach(p.top);
    stage_close(p.stage);
    range_lock_destroy(p.ranges);
    loop_destroy(p.loop);
}

/* ---- requests as transmission.c makes them ---- */

static void completed(struct layer *owner, struct request *req)
{
    struct write *write = container_of(req, struct write, request);

    (void)owner;
    write->completions++;
}

static void submit(struct write *write, enum request_op op, uint64_t offset_bytes,
                   uint32_t length_bytes, int fill)
{
    uint32_t phase = p.stage->limits.phase_bytes;
    uint32_t skip = (uint32_t)(offset_bytes % phase);
    struct request *req = &write->request;

    *write = (struct write){ .memory = aligned_alloc(BLOCK, DISK_BYTES + 4 * BLOCK) };
    EXPECT(write->memory != NULL);
    memset(write->memory, 0xEE, DISK_BYTES + 4 * BLOCK);
    write->buffer.base = write->memory;
    write->buffer.fixed_index = -1;
    req->buffer = &write->buffer;
    req->view = (struct view){ .op = op,
                               .offset_bytes = offset_bytes,
                               .length_bytes = length_bytes,
                               .data = write->memory + skip };
    if (op == REQUEST_WRITE)
        memset(req->view.data, fill, length_bytes);
    request_push(req, NULL, completed);
    layer_submit(p.top, req);
    fake_loop_run(p.loop);
}

static void done(struct write *write)
{
    EXPECT(write->completions == 1);
    EXPECT(write->request.depth == 0);
    free(write->memory);
    write->memory = NULL;
}

static int run(enum request_op op, uint64_t offset_bytes, uint32_t length_bytes, int fill)
{
    struct write write;

    submit(&write, op, offset_bytes, length_bytes, fill);
    done(&write);
    return write.request.error;
}

static void read_back(uint64_t offset_bytes, uint32_t length_bytes, uint8_t *out)
{
    struct write read;

    submit(&read, REQUEST_READ, offset_bytes, length_bytes, 0);
    EXPECT(read.request.error == 0);
    EXPECT(read.request.view.offset_bytes == offset_bytes);
    memcpy(out, read.request.view.data, length_bytes);
    done(&read);
}

static void expect_bytes(uint64_t offset_bytes, uint32_t length_bytes, int fill)
{
    static uint8_t data[DISK_BYTES];

    read_back(offset_bytes, length_bytes, data);
    for (uint32_t i = 0; i < length_bytes; i++)
        EXPECT(data[i] == fill);
}

/* No run of 16 bytes of one value, which is what these tests write: it would be plaintext. */
static void expect_only_ciphertext(void)
{
    for (uint32_t at = PAYLOAD_AT; at + 16 <= DISK_BYTES; at += 16) {
        bool same = true;

        for (uint32_t i = 1; i < 16; i++)
            same = same && p.fake.disk[at + i] == p.fake.disk[at];
        EXPECT(!same || p.fake.disk[at] == 0); /* 0: never written */
    }
}

/* ---- claims ---- */

static void any_offset_any_length_with(bool zero_holes)
{
    static const uint32_t sectors[] = { 512, 4096 };
    static uint8_t model[DATA_BYTES], data[DATA_BYTES];

    for (unsigned s = 0; s < 2; s++) {
        unsigned seed = 42 + s;

        open_pipeline_with(sectors[s], zero_holes);
        if (!zero_holes) /* else it reads as zeros as it is */
            EXPECT(run(REQUEST_ZERO, 0, DATA_BYTES, 0) == 0);
        memset(model, 0, sizeof model);
        for (int i = 0; i < 3000; i++) {
            uint32_t length = 1 + (uint32_t)rand_r(&seed) % (3 * BLOCK);
            uint32_t offset = (uint32_t)rand_r(&seed) % (DATA_BYTES - length);
            int fill = 1 + rand_r(&seed) % 255;

            if (rand_r(&seed) % 4 == 0)
                length = 1 + length % 40;
            if (rand_r(&seed) % 3 > 0) {
                EXPECT(run(REQUEST_WRITE, offset, length, fill) == 0);
                memset(model + offset, fill, length);
            } else if (rand_r(&seed) % 2) {
                EXPECT(run(REQUEST_ZERO, offset, length, 0) == 0);
                memset(model + offset, 0, length);
            } else {
                read_back(offset, length, data);
                EXPECT(memcmp(data, model + offset, length) == 0);
            }
        }
        read_back(0, DATA_BYTES, data);
        EXPECT(memcmp(data, model, DATA_BYTES) == 0);
        expect_only_ciphertext();
        close_pipeline();
    }
}

static void any_offset_any_length(void)
{
    any_offset_any_length_with(false);
}

static void any_offset_any_length_among_holes(void)
{
    any_offset_any_length_with(true);
}

static void header_is_never_touched(void)
{
    open_pipeline(512);
    EXPECT(run(REQUEST_WRITE, 0, 100, 7) == 0);
    EXPECT(run(REQUEST_TRIM, 0, 2 * BLOCK, 0) == 0);
    for (unsigned i = 0; i < PAYLOAD_AT; i++)
        EXPECT(p.fake.disk[i] == 0);
    close_pipeline();
}

/* Only the blocks at the edges are read: first, last, then one write. */
static void only_edges_are_read(void)
{
    static const struct {
        uint32_t offset, length;
        unsigned requests;
    } cases[] = {
        { 0, BLOCK, 1 },
        { BLOCK, 3 * BLOCK, 1 },
        { 10, 20, 2 },
        { 10, BLOCK - 10, 2 },
        { 0, 10, 2 },
        { 10, BLOCK, 3 },
        { 10, 4 * BLOCK, 3 },
        { 0, BLOCK + 1, 2 },
        { BLOCK - 1, BLOCK + 1, 2 },
    };

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        open_pipeline(4096);
        EXPECT(run(REQUEST_WRITE, cases[i].offset, cases[i].length, 9) == 0);
        EXPECT(p.fake.seen == cases[i].requests);
        close_pipeline();
    }
}

static void every_failure_is_reported_once(void)
{
    for (unsigned fail_at = 1;; fail_at++) {
        struct write write;

        open_pipeline(4096);
        p.fake.fail_at = fail_at;
        submit(&write, REQUEST_WRITE, 100, 2 * BLOCK, 1);
        int error = write.request.error;
        done(&write); /* completed once: never zero times, never twice */
        bool fired = p.fake.seen >= fail_at;
        EXPECT(error == (fired ? EIO : 0));
        p.fake.fail_at = 0;
        EXPECT(run(REQUEST_WRITE, 0, 3 * BLOCK, 2) == 0); /* the range is free again */
        expect_bytes(0, 3 * BLOCK, 2);
        close_pipeline();
        if (!fired)
            return;
    }
}

static void neighbours_in_one_block(void)
{
    struct write first, second;

    open_pipeline(4096);
    EXPECT(run(REQUEST_WRITE, 0, BLOCK, 0xAA) == 0);
    p.fake.hold = true;
    submit(&first, REQUEST_WRITE, 0, 100, 1);    /* has read the block, is held there */
    submit(&second, REQUEST_WRITE, 100, 100, 2); /* waits for the first */
    EXPECT(p.fake.held_count == 1);
    while (p.fake.held_count > 0) {
        fake_backend_release(&p.fake, 0);
        fake_loop_run(p.loop);
    }
    p.fake.hold = false;
    done(&first);
    done(&second);
    expect_bytes(0, 100, 1);
    expect_bytes(100, 100, 2);
    expect_bytes(200, BLOCK - 200, 0xAA);
    close_pipeline();
}

static void aligned_write_waits_for_read_modify_write(void)
{
    struct write partial, whole;

    open_pipeline(4096);
    p.fake.hold = true;
    submit(&partial, REQUEST_WRITE, 10, 10, 1);
    submit(&whole, REQUEST_WRITE, 0, 2 * BLOCK, 2);
    EXPECT(p.fake.held_count == 1); /* else it would land between the other's read and write */
    while (p.fake.held_count > 0) {
        fake_backend_release(&p.fake, 0);
        fake_loop_run(p.loop);
    }
    p.fake.hold = false;
    done(&partial);
    done(&whole);
    expect_bytes(0, 2 * BLOCK, 2);
    close_pipeline();
}

static void expect_read(struct write *read)
{
    EXPECT(read->request.error == 0);
    for (uint32_t i = 0; i < read->request.view.length_bytes; i++)
        EXPECT(read->request.view.data[i] == 0xAA);
    done(read);
}

/* Bytes that the write does not change are read before, while and behind it changes others of
 * their block. */
static void read_is_not_disturbed_by_read_modify_write(uint32_t offset, uint32_t length)
{
    struct write before, during, beside, partial;

    open_pipeline(4096);
    EXPECT(run(REQUEST_WRITE, 0, 4 * BLOCK, 0xAA) == 0);
    p.fake.hold = true;
    submit(&before, REQUEST_READ, offset, length, 0);
    submit(&partial, REQUEST_WRITE, BLOCK + 10, 10, 0xAA);
    EXPECT(p.fake.held_count == 2); /* nobody waited for anybody */
    fake_backend_release(&p.fake, 0);
    fake_loop_run(p.loop);
    EXPECT(before.completions == 0); /* it may have found halves: it is done again */
    submit(&during, REQUEST_READ, offset, length, 0);
    EXPECT(p.fake.held_count == 1);
    submit(&beside, REQUEST_READ, 3 * BLOCK, BLOCK, 0);
    EXPECT(p.fake.held_count == 2);
    while (before.completions + during.completions + partial.completions < 3) {
        EXPECT(p.fake.held_count > 0);
        fake_backend_release(&p.fake, 0);
        fake_loop_run(p.loop);
    }
    p.fake.hold = false;
    done(&partial);
    expect_read(&before);
    expect_read(&during);
    expect_read(&beside);
    unsigned seen = p.fake.seen;
    expect_bytes(0, 4 * BLOCK, 0xAA);
    EXPECT(p.fake.seen == seen + 1); /* once is enough when all is quiet */
    close_pipeline();
}

static void reads_are_not_disturbed(void)
{
    read_is_not_disturbed_by_read_modify_write(BLOCK, BLOCK);
    read_is_not_disturbed_by_read_modify_write(BLOCK + 3000, 64);
    read_is_not_disturbed_by_read_modify_write(BLOCK - 5, 10);
    read_is_not_disturbed_by_read_modify_write(0, 3 * BLOCK);
}

/* The read that is done again fails: the range is free all the same. */
static void failed_second_read_frees_the_range(void)
{
    struct write read, partial;

    open_pipeline(4096);
    p.fake.hold = true;
    submit(&read, REQUEST_READ, 0, BLOCK, 0);
    submit(&partial, REQUEST_WRITE, 10, 10, 1);
    p.fake.fail_at = 4; /* read, edge, write, and the read again */
    fake_backend_release_all(&p.fake);
    fake_loop_run(p.loop);
    EXPECT(read.request.error == EIO);
    done(&read);
    done(&partial);
    p.fake.fail_at = 0;
    EXPECT(run(REQUEST_WRITE, 10, 10, 1) == 0);
    close_pipeline();
}

static void different_blocks_run_in_parallel(void)
{
    struct write writes[8];

    open_pipeline(4096);
    p.fake.hold = true;
    for (unsigned i = 0; i < 8; i++)
        submit(&writes[i], REQUEST_WRITE, i * BLOCK + 5, 10, 1 + (int)i);
    EXPECT(p.fake.held_count == 8);
    fake_backend_release_all(&p.fake);
    fake_loop_run(p.loop);
    for (unsigned i = 0; i < 8; i++) {
        done(&writes[i]);
        expect_bytes(i * BLOCK + 5, 10, 1 + (int)i);
    }
    close_pipeline();
}

static void trim_keeps_partial_blocks(void)
{
    open_pipeline(4096);
    EXPECT(run(REQUEST_WRITE, 0, 4 * BLOCK, 3) == 0);
    EXPECT(run(REQUEST_TRIM, 100, 3 * BLOCK, 0) == 0);
    expect_bytes(0, BLOCK, 3);
    expect_bytes(3 * BLOCK, BLOCK, 3);
    for (unsigned i = 0; i < 2 * BLOCK; i++)
        EXPECT(p.fake.disk[PAYLOAD_AT + BLOCK + i] == 0);
    unsigned seen = p.fake.seen;
    EXPECT(run(REQUEST_TRIM, 100, BLOCK, 0) == 0);
    EXPECT(p.fake.seen == seen); /* no whole block in it */
    close_pipeline();
}

static void extents_fit_the_request(void)
{
    open_pipeline(4096);
    p.fake.extent_bytes = BLOCK;
    for (uint32_t offset = BLOCK - 3; offset < BLOCK + 4; offset++)
        for (uint32_t length = 1; length < 3 * BLOCK; length += 1021) {
            struct write query;
            struct extent_list *list;
            uint64_t sum = 0;

            query.memory = NULL;
            submit(&query, REQUEST_CACHE, offset, length, 0); /* CACHE takes the same way */
            done(&query);
            query = (struct write){ .memory = calloc(1, 4096) };
            list = (struct extent_list *)(void *)query.memory;
            list->capacity = 100;
            query.request.view = (struct view){ .op = REQUEST_EXTENTS,
                                                .offset_bytes = offset,
                                                .length_bytes = length,
                                                .data = query.memory };
            request_push(&query.request, NULL, completed);
            layer_submit(p.top, &query.request);
            EXPECT(query.request.error == 0 && list->count > 0);
            for (uint32_t i = 0; i < list->count; i++) {
                bool hole = (PAYLOAD_AT + offset + sum) / BLOCK % 2;

                EXPECT(list->extents[i].flags == (hole ? EXTENT_HOLE : 0)); /* never ZERO */
                sum += list->extents[i].length_bytes;
            }
            EXPECT(sum == length);
            done(&query);
        }
    close_pipeline();
}

/* A backend that tells of less than what lies in front of the range in its block. */
static void extents_of_a_backend_that_tells_little(void)
{
    for (uint32_t offset = 0; offset < 2 * BLOCK; offset += 255)
        for (uint32_t length = 1; length < 3 * BLOCK; length += 1021) {
            struct write query = { .memory = calloc(1, 4096) };
            struct extent_list *list = (struct extent_list *)(void *)query.memory;
            uint64_t sum = 0;

            open_pipeline(4096);
            p.fake.extent_bytes = 1024;
            p.fake.extents_max = 1;
            list->capacity = 100;
            query.request.view = (struct view){ .op = REQUEST_EXTENTS,
                                                .offset_bytes = offset,
                                                .length_bytes = length,
                                                .data = query.memory };
            request_push(&query.request, NULL, completed);
            layer_submit(p.top, &query.request);
            EXPECT(query.request.error == 0 && list->count > 0);
            for (uint32_t i = 0; i < list->count; i++) {
                EXPECT(list->extents[i].length_bytes > 0 && list->extents[i].flags == 0);
                sum += list->extents[i].length_bytes;
            }
            EXPECT(sum <= length);
            done(&query);
            close_pipeline();
        }
}

/* Extents of the backend that end within an encryption sector of 4096 bytes. */
static void zeros_are_claimed_of_whole_sectors(void)
{
    static const uint32_t pieces[] = {
        512, 1024, 1536, BLOCK - 512, BLOCK, BLOCK + 512, 3 * BLOCK
    };

    for (unsigned n = 0; n < sizeof pieces / sizeof pieces[0]; n++)
        for (uint32_t offset = 0; offset < 2 * BLOCK; offset += 511) {
            struct write query = { .memory = calloc(1, 4096) };
            struct extent_list *list = (struct extent_list *)(void *)query.memory;
            uint32_t at = offset;

            open_pipeline_with(4096, true);
            p.fake.extent_bytes = pieces[n];
            list->capacity = 100;
            query.request.view = (struct view){ .op = REQUEST_EXTENTS,
                                                .offset_bytes = offset,
                                                .length_bytes = 5 * BLOCK,
                                                .data = query.memory };
            request_push(&query.request, NULL, completed);
            layer_submit(p.top, &query.request);
            EXPECT(query.request.error == 0 && list->count > 0);
            for (uint32_t i = 0; i < list->count; i++) {
                for (uint64_t end = at + list->extents[i].length_bytes; at < end; at++) {
                    uint32_t first = (PAYLOAD_AT + at) / BLOCK * BLOCK;
                    bool zeros = true;

                    for (uint32_t byte = first; byte < first + BLOCK; byte += 512)
                        zeros = zeros && byte / pieces[n] % 2;
                    EXPECT(zeros || !(list->extents[i].flags & EXTENT_ZERO));
                    EXPECT(!zeros || list->extents[i].flags == (EXTENT_HOLE | EXTENT_ZERO));
                }
            }
            EXPECT(at > offset && at <= offset + 5 * BLOCK);
            done(&query);
            close_pipeline();
        }
}

static void zeroes_make_holes_and_only_whole_sectors_of_zeros_are_holes(void)
{
    struct write read;

    open_pipeline_with(4096, true);
    EXPECT(!p.stage->limits.zero_needs_data);
    EXPECT(run(REQUEST_WRITE, 0, 4 * BLOCK, 5) == 0);
    EXPECT(run(REQUEST_ZERO, BLOCK, 2 * BLOCK, 0) == 0);
    for (unsigned i = 0; i < 2 * BLOCK; i++)
        EXPECT(p.fake.disk[PAYLOAD_AT + BLOCK + i] == 0);
    expect_bytes(0, BLOCK, 5);
    expect_bytes(BLOCK, 2 * BLOCK, 0);
    expect_bytes(3 * BLOCK, BLOCK, 5);

    /* One byte that is not zero, the last one of a sector: it is ciphertext. */
    p.fake.disk[PAYLOAD_AT + 2 * BLOCK - 1] = 1;
    submit(&read, REQUEST_READ, BLOCK, BLOCK, 0);
    EXPECT(read.request.error == 0 && read.request.view.data[0] != read.request.view.data[16]);
    done(&read);
    close_pipeline();
}

static const struct check checks[] = {
    { "any offset and length reads back what was written among holes that read as zeros",
      any_offset_any_length_among_holes },
    { "holes that read as zeros are claimed of whole encryption sectors only",
      zeros_are_claimed_of_whole_sectors },
    { "zeroes become holes, and only a whole sector of zeros is one",
      zeroes_make_holes_and_only_whole_sectors_of_zeros_are_holes },
    { "any offset and length reads back what was written, in ciphertext only",
      any_offset_any_length },
    { "the header in front of the payload is never touched", header_is_never_touched },
    { "an unaligned write reads the blocks at its edges and no others", only_edges_are_read },
    { "whichever step of an unaligned write fails, it is reported once and the range is free",
      every_failure_is_reported_once },
    { "two writes to one block keep each other's bytes", neighbours_in_one_block },
    { "an aligned write does not land within a read-modify-write",
      aligned_write_waits_for_read_modify_write },
    { "a read that a read-modify-write came across is done again, behind it",
      reads_are_not_disturbed },
    { "a read that fails the second time leaves its range free",
      failed_second_read_frees_the_range },
    { "unaligned writes to different blocks run in parallel", different_blocks_run_in_parallel },
    { "TRIM keeps blocks that lie partly outside it", trim_keeps_partial_blocks },
    { "extents cover exactly what was asked for and never promise zeros under LUKS",
      extents_fit_the_request },
    { "extents have an answer where the backend tells of less than lies in front",
      extents_of_a_backend_that_tells_little },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
