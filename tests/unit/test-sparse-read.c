/* Which long reads are looked at, how far, and what of it is told as holes. */
#include "server/connection/sparse-read.h"

#include "tests/support/check.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define TIB (1024 * 1024 * MIB)
#define HOLE (EXTENT_HOLE | EXTENT_ZERO)
#define SECOND_NS UINT64_C(1000000000)

static struct sparse_knowledge knowledge;
static struct command command;
static struct limits limits;
static union {
    struct extent_list list;
    uint8_t bytes[SPARSE_READ_LIST_BYTES];
} found;

static void begin(uint64_t size_bytes)
{
    knowledge = (struct sparse_knowledge){ .until_ns = 0 };
    limits = (struct limits){ .size_bytes = size_bytes, .phase_bytes = 1 };
}

static void set_read(uint64_t offset_bytes, uint64_t length_bytes)
{
    command = (struct command){
        .op = REQUEST_READ,
        .request = { .offset_bytes = offset_bytes, .length_bytes = length_bytes },
    };
}

static void clear_found(void)
{
    found.list.capacity = (sizeof found - sizeof found.list) / sizeof found.list.extents[0];
    extent_list_clear(&found.list);
}

/* A storage of data and holes in turn, each so long; 0: all data.  Whether it was looked at. */
static bool read_striped(uint64_t offset_bytes, uint64_t length_bytes, uint64_t stripe_bytes,
                         uint64_t now_ns)
{
    set_read(offset_bytes, length_bytes);
    if (!sparse_read_wants_look(&knowledge, &command, now_ns))
        return false;
    struct byte_range window = sparse_read_window(&knowledge, &command, &limits);
    uint64_t at = window.offset_bytes, end = at + window.size_bytes;
    EXPECT(at <= offset_bytes && end >= offset_bytes + length_bytes && end <= limits.size_bytes);
    clear_found();
    while (at < end) {
        uint64_t next = stripe_bytes > 0 ? (at / stripe_bytes + 1) * stripe_bytes : end;
        bool hole = stripe_bytes > 0 && at / stripe_bytes % 2 == 1;

        if (next > end)
            next = end;
        if (!extent_list_add(&found.list, next - at, hole ? HOLE : 0))
            break;
        at = next;
    }
    sparse_read_note(&knowledge, &command, &found.list, window.offset_bytes, now_ns);
    return true;
}

static void without_holes(void)
{
    unsigned looks = 0;

    begin(TIB);
    for (uint64_t i = 0; i < 100000; i++) /* in order ... */
        looks += read_striped(i * 256 * KIB % TIB, 256 * KIB, 0, 1000 + i);
    EXPECT(looks <= 24);
    for (uint64_t i = 0; i < 100000; i++) { /* ... and anywhere */
        uint64_t at = i * UINT64_C(0x9E3779B97F4A7C15) % (TIB - MIB);

        looks += read_striped(at, MIB, 0, 200000 + i);
    }
    EXPECT(looks <= 40);
    EXPECT(read_striped(MIB, MIB, 0, 2 * SECOND_NS)); /* it may have become a hole since */
    EXPECT(!read_striped(TIB - MIB, MIB, 0, 2 * SECOND_NS));
}

static void with_more_data_than_a_look_sees(void)
{
    unsigned looks = 0;

    begin(64 * TIB);
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t at = i * UINT64_C(0x9E3779B97F4A7C15) % (64 * TIB - MIB);

        looks += read_striped(at, MIB, 0, i * 1000000);
    }
    EXPECT(looks < 2000);
}

static void with_holes(void)
{
    begin(TIB);
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t at = i * 256 * KIB;

        bool looked = read_striped(at, 256 * KIB, 256 * KIB, 1000);

        if (i % 2 == 1) {
            EXPECT(looked);
            EXPECT(command.holes.count == 1);
            EXPECT(command.holes.at[0].start_bytes == 0);
            EXPECT(command.holes.at[0].end_bytes == 256 * KIB);
        }
    }
}

static void with_small_holes(void)
{
    unsigned looks = 0;

    begin(TIB);
    for (uint64_t i = 0; i < 6400; i++)
        looks += read_striped(i * 256 * KIB, 256 * KIB, 4 * KIB, 1000);
    EXPECT(looks > 50 && looks < 120);
    EXPECT(command.holes.count == 0);
    for (uint64_t i = 0; i < 65; i++) /* and then there are larger ones */
        looks += read_striped(i * 256 * KIB, 256 * KIB, 64 * KIB, 1000);
    EXPECT(knowledge.useless == 0);
}

static void parts(void)
{
    static const uint64_t stripes[] = { 16 * KIB, 20000, 64 * KIB, 100001, 300 * KIB, 40 * MIB };
    static const uint64_t offsets[] = { 0, 1, 4095, 64 * KIB, 65537, 3 * MIB + 77 };
    static const uint64_t lengths[] = { 64 * KIB, 99999, MIB, 32 * MIB };

    for (unsigned s = 0; s < 6; s++)
        for (unsigned o = 0; o < 6; o++)
            for (unsigned l = 0; l < 4; l++) {
                struct piece piece;

                begin(TIB);
                limits.phase_bytes = 4096;
                EXPECT(read_striped(offsets[o], lengths[l], stripes[s], 1));
                while (command.issued_bytes < lengths[l]) {
                    bool hole = sparse_read_next(&piece, &limits, &command);
                    uint64_t first = piece.offset_bytes, last = first + piece.length_bytes - 1;

                    EXPECT(first == offsets[o] + command.issued_bytes && piece.length_bytes > 0);
                    EXPECT(hole || piece.length_bytes <= BUFFER_BYTES_MAX);
                    if (hole) { /* all of it is one */
                        EXPECT(first / stripes[s] % 2 == 1);
                        EXPECT(first / stripes[s] == last / stripes[s]);
                        EXPECT(piece.buffer_bytes == 0);
                        EXPECT(piece.length_bytes >= SPARSE_READ_HOLE_BYTES_MIN);
                    }
                    command.issued_bytes += piece.length_bytes;
                }
                EXPECT(command.issued_bytes == lengths[l]);
            }
}

static void dont_fragment(void)
{
    begin(TIB);
    set_read(0, MIB);
    command.request.flags = NBD_CMD_FLAG_DF;
    EXPECT(!sparse_read_wants_look(&knowledge, &command, 1));
    command.request.flags = 0;
    command.error = 22;
    EXPECT(!sparse_read_wants_look(&knowledge, &command, 1));
}

static const struct check checks[] = {
    { "storage without holes is looked at some dozen times a second at most", without_holes },
    { "storage of many terabytes without holes is looked at ever more rarely",
      with_more_data_than_a_look_sees },
    { "holes are found anew each time", with_holes },
    { "holes that are too small are looked for ever more rarely", with_small_holes },
    { "the parts of a read are its range, and what is told is a hole", parts },
    { "neither a read with DF nor one that was refused is looked at", dont_fragment },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
