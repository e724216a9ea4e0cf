/* Headers made by luks_format(), loaded again from memory: whole, damaged and cut. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include <json-c/json.h>

#include "crypto/luks/luks-describe.h"
#include "crypto/luks/luks-format.h"
#include "crypto/luks/luks-keyslot.h"
#include "crypto/luks/luks.h"
#include "crypto/luks/luks2-binary.h"
#include "tests/support/check.h"

#define MIB (1024u * 1024u)
#define IMAGE_BYTES (64ull * MIB)
#define COPY_BYTES 16384u

/* An image in memory: a header area, and zeros behind it up to size_bytes. */
struct image {
    uint8_t *area;
    uint64_t area_bytes;
    uint64_t size_bytes;
    uint64_t fail_at; /* the read that fails; 0: none */
    uint64_t reads;
};

static struct error err;

static struct secret *make_secret(const char *text)
{
    struct secret *secret = NULL;

    EXPECT(secret_copy(&secret, text, strlen(text), &err) == 0);
    return secret;
}

/* Asking for what is behind the end is a mistake of the loader, whatever the header says. */
static int read_image(void *context, uint64_t offset_bytes, void *out, size_t length_bytes,
                      struct error *read_err)
{
    struct image *image = context;
    uint8_t *to = out;

    EXPECT(length_bytes <= image->size_bytes);
    EXPECT(offset_bytes <= image->size_bytes - length_bytes);
    if (++image->reads == image->fail_at)
        return error_set(read_err, -EIO, "reading at byte %" PRIu64 " failed", offset_bytes);
    for (size_t i = 0; i < length_bytes; i++)
        to[i] = offset_bytes + i < image->area_bytes ? image->area[offset_bytes + i] : 0;
    return 0;
}

static const struct luks_format_options luks2_options = {
    .type = LUKS_TYPE_2,
    .cipher = "aes-xts-plain64",
    .key_bits = 512,
    .sector_bytes = 4096,
    .pbkdf.name = "pbkdf2",
    .pbkdf.iterations = 1000,
    .data_bytes = IMAGE_BYTES,
};

static const struct luks_format_options luks1_options = {
    .type = LUKS_TYPE_1,
    .cipher = "aes-xts-plain64",
    .key_bits = 512,
    .sector_bytes = 512,
    .pbkdf.iterations = 1000,
    .data_bytes = IMAGE_BYTES,
};

/* The caller frees image.area. */
static struct image make_image(const struct luks_format_options *options,
                               struct luks_format_result *result)
{
    struct secret *passphrase = make_secret("correct horse");
    struct image image = { .size_bytes = IMAGE_BYTES };

    EXPECT(luks_format(result, options, passphrase, &err) == 0);
    image.area_bytes = result->header_bytes;
    image.area = malloc(result->header_bytes);
    EXPECT(image.area != NULL);
    EXPECT(pread(result->image_fd, image.area, result->header_bytes, 0) ==
           (ssize_t)result->header_bytes);
    if (options->detached)
        image.size_bytes = image.area_bytes;
    EXPECT(close(result->image_fd) == 0);
    secret_free(passphrase);
    return image;
}

static int load_detached(struct luks_header **out, struct image *image)
{
    err.text[0] = '\0';
    image->reads = 0;
    return luks_load(out, read_image, image, image->size_bytes, IMAGE_BYTES, true, &err);
}

static int load(struct luks_header **out, struct image *image)
{
    err.text[0] = '\0';
    image->reads = 0;
    return luks_load(out, read_image, image, image->size_bytes, image->size_bytes, false, &err);
}

static int unlock(struct secret **key, struct luks_header *header, const char *text)
{
    struct secret *passphrase = make_secret(text);
    int slot = LUKS_KEYSLOT_ANY;
    int result = luks_keyslot_open(key, &slot, header, passphrase, &err);

    secret_free(passphrase);
    return result;
}

static void expect_unlocks(struct luks_header *header)
{
    struct secret *key = NULL;

    EXPECT(unlock(&key, header, "correct horse") == 0);
    EXPECT(key->length_bytes == luks_segment(header)->cipher.key_bits / 8);
    secret_free(key);
}

static void expect_refused(struct image *image, int code, const char *message)
{
    struct luks_header *header = NULL;
    int result = load(&header, image);

    EXPECT_TEXT(err.text, message);
    EXPECT(result == code);
}

/* ---- whole ---- */

static void expect_round_trip(const struct luks_format_options *options)
{
    struct luks_format_result result;
    struct image image = make_image(options, &result);
    struct luks_header *header = NULL;
    const struct luks_segment *segment;
    struct secret *first = NULL, *second = NULL;

    EXPECT((options->detached ? load_detached(&header, &image) : load(&header, &image)) == 0);
    segment = luks_segment(header);
    EXPECT(segment->type == options->type && segment->sector_bytes == options->sector_bytes);
    EXPECT(segment->cipher.key_bits == options->key_bits);
    EXPECT(segment->payload_offset_bytes == (options->detached ? 0 : result.header_bytes));
    EXPECT(segment->payload_offset_bytes + segment->payload_bytes == IMAGE_BYTES);
    EXPECT(!memcmp(segment, &result.segment, sizeof *segment));
    EXPECT(luks_damaged_copy(header) == NULL);
    EXPECT(unlock(&first, header, "correct horse") == 0);
    EXPECT(unlock(&second, header, "correct horse") == 0); /* as often as wanted */
    EXPECT(secret_equal(first, second));
    secret_free(first);
    secret_free(second);
    luks_free(header);
    free(image.area);
}

static void every_kind_round_trips(void)
{
    struct luks_format_options options = luks2_options;

    for (uint32_t sector_bytes = 512; sector_bytes <= 4096; sector_bytes *= 2) {
        options.sector_bytes = sector_bytes;
        expect_round_trip(&options);
    }
    options.key_bits = 256;
    expect_round_trip(&options);
    options.detached = true;
    expect_round_trip(&options);
    options = luks1_options;
    expect_round_trip(&options);
    options.key_bits = 256;
    expect_round_trip(&options);
    options.detached = true;
    expect_round_trip(&options);
}

static void argon2_round_trips(void)
{
    struct luks_format_options options = luks2_options;

    options.pbkdf.iterations = 4;
    options.pbkdf.memory_kib = 1024;
    options.pbkdf.name = NULL; /* argon2id */
    expect_round_trip(&options);
    options.pbkdf.name = "argon2i";
    expect_round_trip(&options);
}

static void names_are_kept(void)
{
    struct luks_format_options options = luks2_options;
    struct luks_format_result result;
    struct luks_header *header = NULL;
    struct image image;
    struct json_object *info = NULL;
    const char *json;

    options.label = "backup \"1\"";
    options.uuid = "01234567-89ab-4def-8123-456789abcdef";
    image = make_image(&options, &result);
    EXPECT(load(&header, &image) == 0);
    EXPECT_TEXT(luks_segment(header)->uuid, options.uuid);
    EXPECT(luks_describe_json(&info, header, &err) == 0);
    json = json_object_to_json_string_ext(info, JSON_C_TO_STRING_PLAIN);
    EXPECT(strstr(json, "\"label\":\"backup \\\"1\\\"\"") != NULL);
    EXPECT(strstr(json, "\"uuid\":\"01234567-89ab-4def-8123-456789abcdef\"") != NULL);
    EXPECT(strstr(json, "\"iterations\":1000") != NULL);
    EXPECT(strstr(json, "salt") == NULL && strstr(json, "\"digest\"") == NULL);
    json_object_put(info);
    luks_free(header);
    free(image.area);
}

/* ---- keys ---- */

static void wrong_key_is_refused(const struct luks_format_options *options)
{
    struct luks_format_result result;
    struct image image = make_image(options, &result);
    struct luks_header *header = NULL;
    struct secret *key = NULL;

    EXPECT(load(&header, &image) == 0);
    EXPECT(unlock(&key, header, "incorrect") == -EACCES);
    EXPECT_TEXT(err.text, "no keyslot opens with this key");
    EXPECT(unlock(&key, header, "correct horse\n") == -EACCES);
    EXPECT_TEXT(err.text,
                "no keyslot opens with this key: it ends with a newline, which counts (as for "
                "cryptsetup --key-file); if the passphrase was typed when the volume was made, "
                "remove the newline from the key file");
    EXPECT(unlock(&key, header, "") == -EACCES);
    EXPECT(key == NULL);
    expect_unlocks(header); /* no harm done */
    luks_free(header);
    free(image.area);
}

static void wrong_keys_are_refused(void)
{
    wrong_key_is_refused(&luks1_options);
    wrong_key_is_refused(&luks2_options);
}

/* ---- damage ---- */

static void one_damaged_copy_is_no_harm(void)
{
    static const size_t places[] = { 0, 7, 8, 15, 300, 448, 5000 };
    struct luks_format_result result;
    struct image image = make_image(&luks2_options, &result);

    for (size_t i = 0; i < 2 * sizeof places / sizeof places[0]; i++) {
        bool secondary = i % 2 == 1;
        uint8_t *at = image.area + (secondary ? COPY_BYTES : 0) + places[i / 2];
        struct luks_header *header = NULL;

        *at ^= 0x40;
        EXPECT(load(&header, &image) == 0);
        EXPECT_TEXT(luks_damaged_copy(header), secondary ? "secondary" : "primary");
        expect_unlocks(header);
        luks_free(header);
        *at ^= 0x40;
    }
    free(image.area);
}

/* Puts `text` into a copy, under a checksum that is right. */
static void set_text(struct image *image, bool secondary, const char *text)
{
    uint8_t *copy = image->area + (secondary ? COPY_BYTES : 0);

    memset(copy + LUKS2_BINARY_BYTES, 0, COPY_BYTES - LUKS2_BINARY_BYTES);
    memcpy(copy + LUKS2_BINARY_BYTES, text, strlen(text));
    EXPECT(luks2_copy_seal(copy, COPY_BYTES, &err) == 0);
}

/* What is under a right checksum may be no header all the same. */
static void one_copy_with_a_bad_text_is_no_harm(void)
{
    static const char *const texts[] = { "", "{", "[]", "{}", "{\"config\":{}}" };
    struct luks_format_result result;

    for (size_t i = 0; i < 2 * sizeof texts / sizeof texts[0]; i++) {
        struct image image = make_image(&luks2_options, &result);
        bool secondary = i % 2 == 1;
        struct luks_header *header = NULL;

        set_text(&image, secondary, texts[i / 2]);
        EXPECT(load(&header, &image) == 0);
        EXPECT_TEXT(luks_damaged_copy(header), secondary ? "secondary" : "primary");
        expect_unlocks(header);
        luks_free(header);
        free(image.area);
    }
}

/* What our policy refuses, or what can be read in two ways, is not passed over for the other
 * copy. */
static void other_copy_is_no_way_round_the_policy(void)
{
    static const char *const pairs[][2] = {
        { "\"tokens\":{}", "\"tokens\":{},\"tokens\":{}" },
        { "\"sector_size\":", "\"sector_size\":3,\"x\":" },
    };
    static char text[COPY_BYTES];
    struct luks_format_result result;

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct image image = make_image(&luks2_options, &result);
        struct luks_header *header = NULL;
        const char *old = (const char *)image.area + LUKS2_BINARY_BYTES;
        const char *place = strstr(old, pairs[i][0]);

        EXPECT(place != NULL);
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(place - old), old, pairs[i][1],
                       place + strlen(pairs[i][0]));
        set_text(&image, false, text);
        EXPECT(load(&header, &image) < 0);
        EXPECT(header == NULL);
        free(image.area);
    }
}

/* An XFS superblock (version 4) that libblkid believes. */
static void put_xfs(uint8_t *at)
{
    static const uint8_t start[] = { 'X', 'F', 'S', 'B', 0, 0, 16, 0, 0, 0, 0, 0, 0, 1, 44 };
    static const uint8_t sizes[] = { 0, 0, 0, 1, 0,  0,   75,   0,    0, 0, 0, 4, 0, 0,
                                     0, 0, 0, 0, 14, 109, 0xb4, 0xa4, 2, 0, 1, 0, 0, 16 };
    static const uint8_t logs[] = { 12, 9, 8, 4, 15, 0, 0, 25 };

    memset(at, 0, LUKS2_BINARY_BYTES);
    memcpy(at, start, sizeof start);
    memcpy(at + 80, sizes, sizeof sizes);
    memcpy(at + 120, logs, sizeof logs);
}

static void put_ext4(uint8_t *at)
{
    memset(at, 0, LUKS2_BINARY_BYTES);
    memcpy(at + 1080, "\x53\xef", 2);
}

static void put_qcow2(uint8_t *at)
{
    memcpy(at, "QFI\xfb", 4);
}

static void remains_under_another_format_are_refused(void)
{
    static const struct {
        void (*put)(uint8_t *at);
        const char *name;
    } formats[] = {
        { put_xfs, "a file system (xfs)" },
        { put_ext4, "a file system (ext2)" },
        { put_qcow2, "a QEMU qcow2 image" },
    };
    struct luks_format_result result;

    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct image image = make_image(&luks2_options, &result);
        char message[400];

        formats[i].put(image.area);
        (void)snprintf(message, sizeof message,
                       "LUKS header: its primary copy is damaged, and there is %s now, which may "
                       "have taken its place; if the LUKS volume is what counts, remove that mark "
                       "(wipefs) or restore the header from a backup",
                       formats[i].name);
        expect_refused(&image, -EEXIST, message);
        free(image.area);
    }
}

static void wiped_primary_is_no_harm(void)
{
    struct luks_format_result result;
    struct image image = make_image(&luks2_options, &result);
    struct luks_header *header = NULL;

    memset(image.area, 0, COPY_BYTES);
    EXPECT(load(&header, &image) == 0);
    EXPECT_TEXT(luks_damaged_copy(header), "primary");
    expect_unlocks(header);
    luks_free(header);
    free(image.area);
}

static void two_damaged_copies_are_refused(void)
{
    struct luks_format_result result;
    struct image image = make_image(&luks2_options, &result);

    image.area[5000] ^= 1;
    image.area[COPY_BYTES + 5000] ^= 1;
    expect_refused(&image, -EINVAL,
                   "LUKS header: both copies of the LUKS2 header are damaged (first: its checksum "
                   "is wrong; second: its checksum is wrong): restore it from a backup");
    image.area[0] = 'X';
    expect_refused(&image, -EINVAL,
                   "LUKS header: both copies of the LUKS2 header are damaged (first: it does not "
                   "begin with a LUKS2 mark; second: its checksum is wrong): restore it from a "
                   "backup");
    image.area[COPY_BYTES] = 'X';
    expect_refused(&image, -EMEDIUMTYPE, "no LUKS header found");
    image.area[0] = 'L';
    expect_refused(&image, -EINVAL,
                   "LUKS header: both copies of the LUKS2 header are damaged (first: its checksum "
                   "is wrong; second: none was found): restore it from a backup");
    free(image.area);
}

static void other_versions_are_refused(void)
{
    struct luks_format_result result;
    struct image image = make_image(&luks2_options, &result);

    image.area[7] = 3;
    image.area[COPY_BYTES + 7] = 3;
    expect_refused(&image, -ENOTSUP, "LUKS header: LUKS version 3 is not supported, only 1 and 2");
    free(image.area);
}

static void other_things_are_refused(void)
{
    uint8_t zeros[64] = { 0 };
    struct image image = { .area = zeros, .area_bytes = sizeof zeros, .size_bytes = IMAGE_BYTES };

    expect_refused(&image, -EMEDIUMTYPE, "no LUKS header found");
    image.size_bytes = 5;
    expect_refused(&image, -EMEDIUMTYPE, "no LUKS header found");
    image.size_bytes = 0;
    expect_refused(&image, -EMEDIUMTYPE, "no LUKS header found");
}

/* A keyslot's key material is not covered by a checksum: the key just does not open it. */
static void damaged_key_material_opens_nothing(const struct luks_format_options *options, size_t at)
{
    struct luks_format_result result;
    struct image image = make_image(options, &result);
    struct luks_header *header = NULL;
    struct secret *key = NULL;

    image.area[at] ^= 1;
    EXPECT(load(&header, &image) == 0);
    EXPECT(unlock(&key, header, "correct horse") == -EACCES);
    luks_free(header);
    free(image.area);
}

static void damaged_key_material(void)
{
    damaged_key_material_opens_nothing(&luks2_options, 2 * COPY_BYTES + 100000);
    damaged_key_material_opens_nothing(&luks1_options, 4096 + 100000);
}

/* ---- cut ---- */

/* Every length around every boundary; read_image() checks that nothing is read behind it. */
static void truncation_is_refused(const struct luks_format_options *options)
{
    static const uint64_t boundaries[] = { 1,       6,       8,       512,     592,
                                           4096,    16384,   32768,   262144,  290816,
                                           1048576, 2097152, 4 * MIB, 16 * MIB };
    struct luks_format_result result;
    struct image image = make_image(options, &result);

    for (size_t i = 0; i < sizeof boundaries / sizeof boundaries[0]; i++) {
        for (uint64_t cut = boundaries[i] - 1; cut <= boundaries[i] + 1; cut++) {
            struct luks_header *header = NULL;

            if (cut > result.header_bytes)
                continue;
            image.size_bytes = cut;
            EXPECT(load(&header, &image) < 0);
            EXPECT(err.text[0] != '\0');
        }
    }
    free(image.area);
}

static void truncated_images_are_refused(void)
{
    truncation_is_refused(&luks1_options);
    truncation_is_refused(&luks2_options);
}

static void truncation_has_its_message(void)
{
    struct luks_format_result result;
    struct image image = make_image(&luks2_options, &result);

    image.size_bytes = 5000;
    expect_refused(&image, -EINVAL,
                   "LUKS header: both copies of the LUKS2 header are damaged (first: it ends at "
                   "byte 16384, but there are only 5000 bytes: truncated; second: none was "
                   "found): restore it from a backup");
    image.size_bytes = MIB;
    expect_refused(&image, -ENODATA,
                   "LUKS header: the image is 1048576 bytes, its payload begins at 16777216: it "
                   "is truncated, or it is a detached header (then give it with --header, and the "
                   "data as the image)");
    free(image.area);
    image = make_image(&luks1_options, &result);
    image.size_bytes = 591;
    expect_refused(&image, -EINVAL,
                   "LUKS header: a LUKS1 header has 592 bytes, but there are only 591: truncated");
    free(image.area);
}

static void truncated_header_files_are_refused(void)
{
    struct luks_format_options options = luks2_options;
    struct luks_format_result result;
    struct luks_header *header = NULL;
    struct image image;

    options.detached = true;
    image = make_image(&options, &result);
    image.size_bytes = 2 * COPY_BYTES + 1000;
    EXPECT(load_detached(&header, &image) == -EINVAL);
    EXPECT_TEXT(err.text, "LUKS header: keyslot 0: its area ends at byte 290816, but the header "
                          "file has only 33768 bytes: it is truncated");
    free(image.area);
}

/* ---- failing reads ---- */

static void failing_read_is_an_error(const struct luks_format_options *options)
{
    struct luks_format_result result;
    struct image image = make_image(options, &result);

    for (image.fail_at = 1;; image.fail_at++) {
        struct luks_header *header = NULL;
        int code = load(&header, &image);

        if (image.reads < image.fail_at) { /* it never fired: every read is covered */
            EXPECT(code == 0);
            luks_free(header);
            break;
        }
        EXPECT(code == -EIO);
        EXPECT(strstr(err.text, "reading at byte") != NULL);
    }
    EXPECT(image.fail_at > 3);
    free(image.area);
}

static void failing_reads_are_errors(void)
{
    failing_read_is_an_error(&luks1_options);
    failing_read_is_an_error(&luks2_options);
}

/* ---- options of format ---- */

static void expect_no_format(const struct luks_format_options *options, const char *message)
{
    struct secret *passphrase = make_secret("correct horse");
    struct luks_format_result result;

    EXPECT(luks_format(&result, options, passphrase, &err) < 0);
    EXPECT_TEXT(err.text, message);
    EXPECT(result.image_fd == -1);
    secret_free(passphrase);
}

static void bad_options_are_refused(void)
{
    struct luks_format_options options = luks1_options;

    options.sector_bytes = 4096;
    expect_no_format(&options, "LUKS1 has sectors of 512 bytes only");
    options = luks1_options;
    options.pbkdf.name = "argon2id";
    expect_no_format(&options, "LUKS1 has no argon2id; its keyslots use pbkdf2");
    options = luks1_options;
    options.label = "x";
    expect_no_format(&options, "LUKS1 has no label");
    options = luks2_options;
    options.sector_bytes = 8192;
    expect_no_format(&options, "sector size 8192 is not one of 512, 1024, 2048 and 4096");
    options = luks2_options;
    options.pbkdf.iterations = 999;
    expect_no_format(&options, "pbkdf2 takes at least 1000 iterations");
    options = luks2_options;
    options.pbkdf.name = "scrypt";
    expect_no_format(&options, "key derivation 'scrypt' is not supported (supported: argon2id, "
                               "argon2i, pbkdf2)");
    options = luks2_options;
    options.cipher = "cipher_null-ecb";
    expect_no_format(&options, "cipher 'cipher_null-ecb' leaves the data unencrypted; null "
                               "ciphers are always refused");
    options = luks2_options;
    options.data_bytes = 16 * MIB;
    expect_no_format(&options, "the image has 16777216 bytes, but a LUKS2 header takes 16777216 "
                               "of them; give --size, or a larger image, or --type luks1 (2 MiB)");
    options = luks2_options;
    options.uuid = "not a uuid";
    expect_no_format(&options, "libcryptsetup can't make the header: Wrong LUKS UUID format "
                               "provided");
}

static const struct check checks[] = {
    { "every kind of header can be made, loaded and unlocked", every_kind_round_trips },
    { "argon2 keyslots open", argon2_round_trips },
    { "label and UUID are kept, salts are not shown", names_are_kept },
    { "a wrong key is refused with a hint about newlines", wrong_keys_are_refused },
    { "one damaged copy of a LUKS2 header is no harm", one_damaged_copy_is_no_harm },
    { "nor is one whose text is no header", one_copy_with_a_bad_text_is_no_harm },
    { "the other copy is no way round the policy", other_copy_is_no_way_round_the_policy },
    { "the remains under another format are refused", remains_under_another_format_are_refused },
    { "a wiped first copy is no harm", wiped_primary_is_no_harm },
    { "two damaged copies are refused", two_damaged_copies_are_refused },
    { "other versions of LUKS are refused", other_versions_are_refused },
    { "what is not LUKS is refused", other_things_are_refused },
    { "damaged key material opens nothing", damaged_key_material },
    { "truncated images are refused at every length", truncated_images_are_refused },
    { "truncation has its message", truncation_has_its_message },
    { "truncated header files are refused", truncated_header_files_are_refused },
    { "every failing read is an error", failing_reads_are_errors },
    { "options that can't be are refused", bad_options_are_refused },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
