/* Images and their headers: see volumes.h. */
#include "tests/sim/volumes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/luks/luks-format.h"
#include "tests/sim/disk.h"
#include "tests/sim/loop-hosts.h"
#include "tests/sim/options.h"
#include "tests/sim/oracle.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"
#include "tests/sim/wrap.h"

#define LAYERS 4u
#define CIPHERS 3u
#define KEYSLOTS_BYTES (12u * (128u << 10))
#define PASSPHRASE "key"

#define BLOCK_BYTES 4096u
#define LUKS2_COPY_BYTES 16384u /* where the second one is */
#define EXT4_MARK_BYTES 1080u   /* s_magic of its superblock, which is at byte 1024 */
#define OTHERS 4u
#define OTHER_BYTES 65536u
#define WINDOW_OFFSET_BYTES 65536u /* see config_image() */

static const char *const others[OTHERS] = { VOLUME_OTHER "1", VOLUME_OTHER "2", VOLUME_OTHER "3",
                                            VOLUME_NEIGHBOUR };

struct block {
    struct block *next;
    uint64_t offset_bytes;
    size_t length_bytes;
    uint8_t bytes[BLOCK_BYTES];
};

/* A header of each layer, attached and apart, of each cipher. */
static struct fixture {
    struct block *blocks;
    size_t length_bytes;
    uint64_t payload_offset_bytes;
} fixtures[LAYERS][2][CIPHERS], foreign[LAYERS]; /* these are of another volume */

/* The last one is unknown to the kernel's interface that libcryptsetup would use for its keyslots.
 */
static const char *const ciphers[CIPHERS] = { "aes-xts-plain64", "aes-cbc-essiv:sha256",
                                              "serpent-xts-plain64" };

/* The name of a file is the key that is in it. */
int __wrap_key_source_read(struct secret **out, const struct key_source *source, const char *image,
                           bool confirm, struct error *err)
{
    (void)image;
    (void)confirm;
    const char *name = strrchr(source->file, '/');

    name = name != NULL ? name + 1 : source->file;
    return secret_copy(out, name, strlen(name), err);
}

/* Headers with room for twelve keys, so that to copy one costs little. */
int __wrap_crypt_format(struct crypt_device *device, const char *type, const char *cipher,
                        const char *mode, const char *uuid, const char *volume_key,
                        size_t volume_key_bytes, void *settings)
{
    if (strcmp(type, CRYPT_LUKS2) == 0 && crypt_set_metadata_size(device, 0, KEYSLOTS_BYTES) < 0)
        sim_fail("libcryptsetup makes no small headers");
    return __real_crypt_format(device, type, cipher, mode, uuid, volume_key, volume_key_bytes,
                               settings);
}

/* Only what is not zero: the areas behind the first keyslot cost nothing. */
static void keep_blocks(struct fixture *fixture, int fd)
{
    static const uint8_t zeros[BLOCK_BYTES];

    for (size_t at = 0; at < fixture->length_bytes; at += BLOCK_BYTES) {
        struct block *block = malloc(sizeof(*block));
        size_t left = fixture->length_bytes - at;

        if (block == NULL)
            sim_fail("no memory");
        *block = (struct block){ .next = fixture->blocks,
                                 .offset_bytes = at,
                                 .length_bytes = left < BLOCK_BYTES ? left : BLOCK_BYTES };
        if (pread(fd, block->bytes, block->length_bytes, (off_t)at) != (ssize_t)block->length_bytes)
            sim_fail("a fixture could not be read");
        if (memcmp(block->bytes, zeros, block->length_bytes) == 0)
            free(block);
        else
            fixture->blocks = block;
    }
}

static void make_fixture(struct fixture *fixture, unsigned layer, bool detached, unsigned cipher,
                         const char *uuid)
{
    struct luks_format_options wanted = {
        .type = layer == 1 ? LUKS_TYPE_1 : LUKS_TYPE_2,
        .cipher = ciphers[cipher],
        .key_bits = 256,
        .sector_bytes = layer == 3 ? 4096 : 512,
        .pbkdf = { .name = "pbkdf2", .hash = "sha256", .iterations = 1000 },
        .uuid = uuid,
        .data_bytes = (uint64_t)1 << 30,
        .detached = detached,
    };
    struct secret *passphrase;
    struct luks_format_result made;
    struct error err = { "" };

    random_seed(0); /* whichever comes first */
    if (secret_copy(&passphrase, PASSPHRASE, strlen(PASSPHRASE), &err) < 0 ||
        luks_format(&made, &wanted, passphrase, &err) < 0)
        sim_fail("a fixture could not be made: %s", err.text);
    secret_free(passphrase);
    fixture->length_bytes = made.header_bytes;
    fixture->payload_offset_bytes = made.segment.payload_offset_bytes;
    keep_blocks(fixture, made.image_fd);
    close(made.image_fd);
}

static unsigned cipher(void)
{
    return options.cbc ? 1 : options.serpent ? 2 : 0;
}

static struct fixture *fixture(void)
{
    return &fixtures[options.layer][options.detached][cipher()];
}

void volumes_make_fixtures(void)
{
    if (options.layer > 0 && fixture()->blocks == NULL)
        make_fixture(fixture(), (unsigned)options.layer, options.detached > 0, cipher(),
                     "11111111-2222-3333-4444-555555555555");
    if (options.layer > 0 && options.job_ms > 0 && foreign[options.layer].blocks == NULL)
        make_fixture(&foreign[options.layer], (unsigned)options.layer, false, 0,
                     "99999999-2222-3333-4444-555555555555");
}

static void write_header(struct disk *disk, const struct fixture *fixture)
{
    for (const struct block *block = fixture->blocks; block != NULL; block = block->next)
        disk_write(disk, block->offset_bytes, block->bytes, block->length_bytes);
}

uint64_t volumes_export_bytes(void)
{
    return volumes_desert_bytes() + options.size_kib * 1024;
}

uint64_t volumes_desert_bytes(void)
{
    return options.desert_mib << 20;
}

static void set_faults(struct disk *disk)
{
    *disk_faults(disk) = (struct disk_faults){
        .read_error = (unsigned)options.read_error_permille,
        .write_error = (unsigned)options.write_error_permille,
        .sync_error = (unsigned)options.sync_error_permille,
        .no_space = (unsigned)options.no_space_permille,
        .no_fallocate = (unsigned)options.no_fallocate_permille,
        .short_transfer = (unsigned)options.short_permille,
        .interrupted = (unsigned)options.interrupted_permille,
        .slow = (unsigned)options.slow_permille,
        .split = (unsigned)options.split_permille,
    };
}

/* Of a sector of LUKS that was a hole nothing can be read when a part of it is still zeros: half a
 * write of it must not be seen (nbdcrypt-security(7), WHAT CAN STILL LOSE DATA). */
static uint32_t unit_bytes(void)
{
    return (options.zero_holes || options.cbc) && options.layer == 3 ? 4096 : 512;
}

void volumes_make(void)
{
    uint64_t payload_bytes = options.layer > 0 ? fixture()->payload_offset_bytes
                             : options.window  ? WINDOW_OFFSET_BYTES
                                               : 0;
    struct disk *disk = disk_create(VOLUME_IMAGE, payload_bytes + volumes_export_bytes());

    loop_timing = (struct loop_timing){
        .completion_max_ns = options.loop_us * NS_PER_US,
        .disk_max_ns = options.disk_us * NS_PER_US,
        .split_bytes = DISK_SECTOR_BYTES,
        .unit_bytes = unit_bytes(),
        .read_split_bytes = options.zero_holes || options.cbc ? unit_bytes() : CELL_BYTES,
    };
    for (unsigned i = 0; i < OTHERS; i++)
        (void)disk_create(others[i], OTHER_BYTES);
    disk_set_unit(disk, unit_bytes());
    if (options.layer > 0 && options.detached) {
        struct disk *header = disk_create(VOLUME_HEADER, fixture()->length_bytes);

        write_header(header, fixture());
        disk_settle(header);
        set_faults(header);
    } else if (options.layer > 0) {
        write_header(disk, fixture());
    }
    disk_settle(disk);
    set_faults(disk);
    if (options.layer > 0)
        disk_forbid(disk, oracle_marker());
}

static struct disk *header_disk(void)
{
    return disk_find(options.detached ? VOLUME_HEADER : VOLUME_IMAGE);
}

void volumes_damage_header(bool secondary)
{
    static const uint8_t zeros[BLOCK_BYTES];

    disk_write(header_disk(), secondary ? LUKS2_COPY_BYTES : 0, zeros, sizeof(zeros));
    disk_settle(header_disk());
}

void volumes_wreck_header(bool marked)
{
    static const uint8_t ext4[] = { 0x53, 0xef };

    volumes_damage_header(false);
    if (options.layer > 1)
        volumes_damage_header(true);
    if (marked)
        disk_write(header_disk(), EXT4_MARK_BYTES, ext4, sizeof(ext4));
    disk_settle(header_disk());
}

void volumes_make_foreign_backup(void)
{
    if (disk_find(VOLUME_FOREIGN) == NULL)
        write_header(disk_create(VOLUME_FOREIGN, foreign[options.layer].length_bytes),
                     &foreign[options.layer]);
    disk_settle(disk_find(VOLUME_FOREIGN));
}

uint64_t volumes_header_bytes(void)
{
    return options.layer > 1 ? 2 * (uint64_t)LUKS2_COPY_BYTES : BLOCK_BYTES;
}

/* A backup of a header: as a whole, on a disk that loses nothing. */
int __wrap_output_file_write(const char *path, const void *data, size_t length_bytes, bool replace,
                             struct error *err)
{
    struct disk *disk = disk_find(VOLUME_BACKUP);

    (void)path;
    if (disk != NULL && !replace)
        return error_set(err, -EEXIST, "there is one");
    if (disk == NULL)
        disk = disk_create(VOLUME_BACKUP, length_bytes);
    if (disk_size(disk) != length_bytes)
        sim_fail("a backup has %zu bytes, and had others before", length_bytes);
    for (size_t at = 0; at < length_bytes; at += BLOCK_BYTES) {
        size_t left = length_bytes - at, bytes = left < BLOCK_BYTES ? left : BLOCK_BYTES;
        uint8_t before[BLOCK_BYTES];

        disk_read(disk, at, before, bytes);
        if (memcmp((const uint8_t *)data + at, before, bytes) != 0)
            disk_write(disk, at, (const uint8_t *)data + at, bytes);
    }
    disk_settle(disk);
    return 0;
}

/* ---- what happens to them ---- */

#define TROUBLE_SECONDS 60u

static uint64_t trouble_ns;
static bool was_in_trouble;

uint64_t volumes_errors(void)
{
    const struct disk *header = disk_find(VOLUME_HEADER);

    return disk_error_count(disk_find(VOLUME_IMAGE)) +
           (header != NULL ? disk_error_count(header) : 0);
}

void volumes_forget_errors(void)
{
    static uint64_t known;

    if (volumes_errors() > known)
        oracle_flush_failed();
    known = volumes_errors();
    was_in_trouble = false;
}

void volumes_trouble(void)
{
    was_in_trouble = true;
    trouble_ns = sim_now_ns + TROUBLE_SECONDS * NS_PER_S;
}

bool volumes_were_in_trouble(void)
{
    return was_in_trouble;
}

bool volumes_are_in_trouble(void)
{
    return sim_now_ns < trouble_ns;
}

void volumes_power_cut(void)
{
    trace_event("the disks lose what they have not stored", 0, 0, 0, 0);
    disk_power_cut(disk_find(VOLUME_IMAGE));
    if (disk_find(VOLUME_HEADER) != NULL)
        disk_power_cut(disk_find(VOLUME_HEADER));
}

void volumes_end_faults(void)
{
    *disk_faults(disk_find(VOLUME_IMAGE)) = (struct disk_faults){ 0 };
    if (disk_find(VOLUME_HEADER) != NULL)
        *disk_faults(disk_find(VOLUME_HEADER)) = (struct disk_faults){ 0 };
}

/* A host that is killed while it waits for its turn would leave the queue, which all hosts of this
 * process share, with a ticket that nobody takes. */
void __wrap_luks_turns_begin(struct luks_turn *turn, uint64_t memory_bytes)
{
    (void)turn;
    (void)memory_bytes;
}

void __wrap_luks_turns_begin_alone(struct luks_turn *turn, uint64_t memory_bytes)
{
    (void)turn;
    (void)memory_bytes;
}

void __wrap_luks_turns_end(struct luks_turn *turn)
{
    (void)turn;
}
