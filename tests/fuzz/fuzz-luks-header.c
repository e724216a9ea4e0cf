/* Any storage as the image of a LUKS volume: its header is loaded as `serve` and `info` do it, up
 * to the point where a key would be tried.  It may be refused; what is accepted keeps its promises.
 *
 * Checksums of LUKS2 are made right first, or hardly any input would come further than that.  An
 * input is one of
 *     {...        JSON text, for both copies of a LUKS2 header
 *     else        the start of an image
 * and zeros follow up to IMAGE_BYTES.  With clang:  -fsanitize=fuzzer,address,undefined */
#include <errno.h>
#include <stdint.h>

#include <json-c/json.h>

#include "crypto/luks/luks-conversion.h"
#include "crypto/luks/luks-demands.h"
#include "crypto/luks/luks-describe.h"
#include "crypto/luks/luks-header.h"
#include "crypto/luks/luks2-binary.h"
#include "crypto/luks/luks2-json.h"
#include "tests/support/check.h"

#define MIB (1024u * 1024u)
#define IMAGE_BYTES (4u * MIB)
#define HEAD_BYTES MIB /* what can be anything but zeros */
#define JSON_BYTES_MAX (LUKS2_COPY_BYTES_MIN - LUKS2_BINARY_BYTES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t head[HEAD_BYTES];
static bool was_accepted; /* the last input, attached or detached */

/* ---- the storage ---- */

static int read_image(void *context, uint64_t offset_bytes, void *out, size_t length_bytes,
                      struct error *err)
{
    uint8_t *to = out;

    (void)context;
    (void)err;
    EXPECT(length_bytes <= IMAGE_BYTES && offset_bytes <= IMAGE_BYTES - length_bytes);
    memset(to, 0, length_bytes);
    if (offset_bytes < HEAD_BYTES) {
        size_t there = HEAD_BYTES - (size_t)offset_bytes;

        memcpy(to, head + offset_bytes, length_bytes < there ? length_bytes : there);
    }
    return 0;
}

/* What stands in front of the text (specification 2.1); numbers are big-endian. */
static void put_binary(uint8_t *copy, const char *magic, bool secondary)
{
    memcpy(copy, magic, 6);
    copy[7] = 2;     /* version */
    copy[14] = 0x40; /* size of a copy: LUKS2_COPY_BYTES_MIN */
    copy[23] = 1;    /* sequence number */
    memcpy(copy + 72, "sha256", 6);
    memcpy(copy + 168, "00000000-0000-4000-8000-000000000000", 36);
    copy[262] = secondary ? 0x40 : 0; /* offset of this copy */
}

static void put_text(const uint8_t *text, size_t length_bytes)
{
    size_t used = length_bytes < JSON_BYTES_MAX ? length_bytes : JSON_BYTES_MAX;

    put_binary(head, "LUKS\xba\xbe", false);
    put_binary(head + LUKS2_COPY_BYTES_MIN, "SKUL\xba\xbe", true);
    memcpy(head + LUKS2_BINARY_BYTES, text, used);
    memcpy(head + LUKS2_COPY_BYTES_MIN + LUKS2_BINARY_BYTES, text, used);
}

/* Every copy that the loader could find.  One whose kind of checksum is unknown stays as it is. */
static void repair_checksums(void)
{
    uint64_t length_bytes = 0;

    for (unsigned i = 0; i < 8; i++)
        length_bytes = length_bytes << 8 | head[8 + i];
    if (memcmp(head, "LUKS\xba\xbe", 6) == 0 && length_bytes >= LUKS2_COPY_BYTES_MIN &&
        length_bytes <= HEAD_BYTES)
        (void)!luks2_copy_seal(head, length_bytes, NULL);
    for (size_t at = LUKS2_COPY_BYTES_MIN; at <= HEAD_BYTES / 2; at *= 2)
        if (memcmp(head + at, "SKUL\xba\xbe", 6) == 0)
            (void)!luks2_copy_seal(head + at, at, NULL);
}

static void store(const uint8_t *data, size_t size)
{
    memset(head, 0, sizeof head);
    if (size > 0 && data[0] == '{')
        put_text(data, size);
    else
        memcpy(head, data, size < sizeof head ? size : sizeof head);
    if (head[7] == 2)
        repair_checksums();
}

/* ---- what is promised of a header that was accepted ---- */

static void check_segment(const struct luks_segment *segment)
{
    uint32_t sector = segment->sector_bytes;

    EXPECT(sector == 512 || sector == 1024 || sector == 2048 || sector == 4096);
    EXPECT(segment->payload_bytes > 0 && segment->payload_bytes % sector == 0);
    EXPECT(segment->payload_bytes <= IMAGE_BYTES);
    EXPECT(segment->payload_offset_bytes <= IMAGE_BYTES - segment->payload_bytes);
    EXPECT(segment->payload_offset_bytes % 512 == 0);
    EXPECT(segment->cipher.key_bits >= 128 && segment->cipher.key_bits <= 512);
    EXPECT(strstr(segment->cipher.name, "null") == NULL);
    EXPECT(memchr(segment->uuid, '\0', sizeof segment->uuid) != NULL);
}

/* Opening or changing a keyslot touches neither the metadata nor, in the same image, the
 * payload. */
static void check_areas(const struct luks_header *header, bool detached)
{
    uint64_t metadata_bytes =
        header->segment.type == LUKS_TYPE_2 ? 2 * header->copy_bytes : LUKS1_HEADER_BYTES;
    uint64_t end_bytes = detached ? IMAGE_BYTES : header->segment.payload_offset_bytes;

    EXPECT(detached || header->segment.payload_offset_bytes >= metadata_bytes);
    for (unsigned i = 0; i < header->areas.count; i++) {
        uint64_t from_bytes = header->areas.items[i].offset_bytes;

        EXPECT(from_bytes >= metadata_bytes && from_bytes <= end_bytes);
        EXPECT(header->areas.items[i].length_bytes <= end_bytes - from_bytes);
    }
}

static void check_kdf(struct json_object *kdf)
{
    const char *type = NULL;
    uint64_t iterations = 0, passes = 0, memory_kib = 0, lanes = 0;

    EXPECT(luks2_json_text(&type, kdf, "type", NULL) == 0);
    if (strcmp(type, "pbkdf2") == 0) {
        EXPECT(luks2_json_number(&iterations, kdf, "iterations", NULL) == 0);
        EXPECT(iterations > 0 && iterations <= LUKS_PBKDF2_ITERATIONS_MAX);
        return;
    }
    EXPECT(strncmp(type, "argon2i", 7) == 0);
    EXPECT(luks2_json_number(&passes, kdf, "time", NULL) == 0);
    EXPECT(luks2_json_number(&memory_kib, kdf, "memory", NULL) == 0);
    EXPECT(luks2_json_number(&lanes, kdf, "cpus", NULL) == 0);
    EXPECT(passes > 0 && lanes > 0 && lanes <= LUKS_ARGON2_LANES_MAX);
    EXPECT(memory_kib > 0 && memory_kib <= LUKS_ARGON2_MEMORY_KIB_MAX);
    EXPECT(passes <= LUKS_ARGON2_COST_KIB_MAX / memory_kib);
}

/* What a key derivation may take of memory and time is bounded by us, not by the header. */
static void check_costs(const struct luks_header *header)
{
    struct json_object *keyslots = NULL, *kdf = NULL, *af = NULL;
    uint64_t stripes = 0;

    if (header->segment.type == LUKS_TYPE_1) {
        EXPECT(header->luks1.digest_iterations <= LUKS_PBKDF2_ITERATIONS_MAX);
        for (unsigned slot = 0; slot < LUKS1_KEYSLOTS; slot++)
            EXPECT(!header->luks1.keyslots[slot].active ||
                   header->luks1.keyslots[slot].iterations <= LUKS_PBKDF2_ITERATIONS_MAX);
        return;
    }
    EXPECT(luks2_json_object(&keyslots, header->json, "keyslots", NULL) == 0);
    json_object_object_foreach(keyslots, slot, keyslot)
    {
        (void)slot;
        EXPECT(luks2_json_object(&kdf, keyslot, "kdf", NULL) == 0);
        check_kdf(kdf);
        EXPECT(luks2_json_object(&af, keyslot, "af", NULL) == 0);
        EXPECT(luks2_json_number(&stripes, af, "stripes", NULL) == 0 && stripes == LUKS_AF_STRIPES);
    }
}

static void check_demands(const struct luks_header *header)
{
    struct luks_header_digest digest;
    struct luks_demands demands = { .digest = digest.text };

    for (enum luks_digest_form form = LUKS_DIGEST_WITHOUT_FLAGS; form <= LUKS_DIGEST; form++) {
        EXPECT(luks_header_digest(&digest, header, form, NULL) == 0);
        EXPECT(luks_demands_check(&demands, header, NULL) == 0);
        digest.text[strlen(digest.text) - 1] ^= 1;
        EXPECT(luks_demands_check(&demands, header, NULL) == -EPERM);
    }
}

static void check_conversion(struct luks_header *header)
{
    struct luks_conversion conversion;
    int token;

    if (!luks_conversion_find(&conversion, &token, header))
        return;
    EXPECT(conversion.done_bytes <= conversion.size_bytes);
    EXPECT(strspn(conversion.digest, "0123456789abcdef") == strlen(conversion.digest));
    EXPECT(conversion.digest[0] == '\0' ||
           strlen(conversion.digest) == LUKS_CONVERSION_DIGEST_CHARS);
}

static void load(bool detached)
{
    struct luks_header *header = NULL;
    struct error err = { { 0 } };
    struct json_object *info = NULL;

    if (luks_load(&header, read_image, NULL, IMAGE_BYTES, IMAGE_BYTES, detached, &err) < 0) {
        EXPECT(err.text[0] != '\0');
        for (const char *c = err.text; *c != '\0'; c++)
            EXPECT((unsigned char)*c >= ' '); /* nothing that a terminal obeys */
        return;
    }
    was_accepted = true;
    check_segment(luks_segment(header));
    check_areas(header, detached);
    check_costs(header);
    check_demands(header);
    check_conversion(header);
    EXPECT(luks_describe_json(&info, header, &err) == 0);
    json_object_put(info);
    luks_free(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    was_accepted = false;
    store(data, size);
    load(false);
    load(true);
    return 0;
}

#ifdef FUZZ_STANDALONE

#define RANDOM_INPUTS 1500u
#define INPUT_BYTES_MAX (2u * JSON_BYTES_MAX)

#define BASE64_32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" /* 32 bytes */

static const char good_text[] =
    "{\"keyslots\":{\"0\":{\"type\":\"luks2\",\"key_size\":64,"
    "\"af\":{\"type\":\"luks1\",\"stripes\":4000,\"hash\":\"sha256\"},"
    "\"area\":{\"type\":\"raw\",\"offset\":\"32768\",\"size\":\"258048\","
    "\"encryption\":\"aes-xts-plain64\",\"key_size\":64},"
    "\"kdf\":{\"type\":\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":1000,\"salt\":\"" BASE64_32
    "\"}}},"
    "\"tokens\":{\"0\":{\"type\":\"nbdcrypt-convert\",\"keyslots\":[],"
    "\"source\":{\"size\":\"4194304\",\"digest\":"
    "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"},"
    "\"done\":\"1048576\"}},"
    "\"segments\":{\"0\":{\"type\":\"crypt\",\"offset\":\"1048576\",\"size\":\"dynamic\","
    "\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\",\"sector_size\":512}},"
    "\"digests\":{\"0\":{\"type\":\"pbkdf2\",\"keyslots\":[\"0\"],\"segments\":[\"0\"],"
    "\"hash\":\"sha256\",\"iterations\":1000,"
    "\"salt\":\"" BASE64_32 "\",\"digest\":\"" BASE64_32 "\"}},"
    "\"config\":{\"json_size\":\"12288\",\"keyslots_size\":\"524288\"}}";

/* What a field is replaced by. */
static const char *const values[] = {
    "0",
    "-1",
    "1",
    "512",
    "4096",
    "32768",
    "\"0\"",
    "\"4096\"",
    "\"32768\"",
    "\"1048576\"",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "\"18446744073709551615\"",
    "\"18446744073709551104\"",
    "99999999999999999999999",
    "1e308",
    "null",
    "true",
    "[]",
    "{}",
    "[\"0\",\"0\"]",
    "[\"0\",\"1\"]",
    "\"\"",
    "\"dynamic\"",
    "\"argon2id\"",
    "\"cipher_null-ecb\"",
    "\"aes-cbc-plain64\"",
    "\"twofish-xts-plain64\"",
    "\"\\u0000\"",
    "\"\\u001b[2J\"",
};

static void put_be32(uint8_t *at, uint32_t number)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (24 - 8 * i));
}

/* A LUKS1 header ("LUKS On-Disk Format Specification" 1.2.3, 2.1) with keyslot 0 in use. */
static size_t put_luks1(uint8_t *out)
{
    memset(out, 0, LUKS1_HEADER_BYTES);
    memcpy(out,
           "LUKS\xba\xbe\0\1"
           "aes",
           11);
    memcpy(out + 40, "xts-plain64", 11);
    memcpy(out + 72, "sha256", 6);
    put_be32(out + 104, 4096); /* payload, in sectors of 512 bytes */
    put_be32(out + 108, 64);   /* bytes of the volume key */
    put_be32(out + 164, 1000); /* iterations of its digest */
    memcpy(out + 168, "00000000-0000-4000-8000-000000000000", 36);
    for (uint32_t slot = 0; slot < 8; slot++) {
        uint8_t *at = out + 208 + 48 * slot;

        put_be32(at, slot == 0 ? 0x00ac71f3 : 0x0000dead);
        put_be32(at + 4, slot == 0 ? 1000 : 0);
        put_be32(at + 40, 8 + 512 * slot);
        put_be32(at + 44, 4000);
    }
    return LUKS1_HEADER_BYTES;
}

static size_t pick(size_t below, unsigned *seed)
{
    return (size_t)rand_r(seed) % below;
}

/* Replaces what stands behind a colon, up to the next comma or bracket. */
static size_t change_field(char *text, size_t used, unsigned *seed)
{
    const char *value = values[pick(sizeof values / sizeof values[0], seed)];
    char *colon = memchr(text + pick(used, seed), ':', used);
    size_t value_bytes = strlen(value), rest_bytes, field_bytes;

    if (colon == NULL || colon >= text + used)
        return used;
    colon++;
    field_bytes = strcspn(colon, ",{}[]");
    rest_bytes = used - (size_t)(colon - text) - field_bytes;
    memmove(colon + value_bytes, colon + field_bytes, rest_bytes);
    memcpy(colon, value, value_bytes);
    used += value_bytes - field_bytes;
    text[used] = '\0';
    return used;
}

static size_t random_text(uint8_t *out, unsigned *seed)
{
    char *text = (char *)out;
    size_t used = sizeof good_text - 1;

    memcpy(text, good_text, sizeof good_text);
    for (size_t changes = 1 + pick(3, seed); changes > 0; changes--)
        used = change_field(text, used, seed);
    if (pick(4, seed) == 0)
        text[1 + pick(used - 1, seed)] = (char)rand_r(seed);
    return used;
}

/* Bytes of a header of either version. */
static size_t random_bytes(uint8_t *out, bool luks1, unsigned *seed)
{
    static const uint32_t numbers[] = { 0, 1, 7, 8, 64, 4096, 0x7fffffff, 0x80000000, 0xffffffff };
    size_t used = luks1 ? put_luks1(out) : LUKS2_COPY_BYTES_MIN;

    if (!luks1) {
        memset(out, 0, used);
        put_binary(out, "LUKS\xba\xbe", false);
        memcpy(out + LUKS2_BINARY_BYTES, good_text, sizeof good_text);
    }
    for (size_t changes = 1 + pick(3, seed); changes > 0; changes--) {
        if (pick(2, seed) == 0)
            put_be32(out + 4 * pick(LUKS1_HEADER_BYTES / 4, seed),
                     numbers[pick(sizeof numbers / sizeof numbers[0], seed)]);
        else
            out[pick(LUKS1_HEADER_BYTES, seed)] = (uint8_t)rand_r(seed);
    }
    return used;
}

static size_t random_input(uint8_t *out, unsigned *seed)
{
    if (pick(4, seed) != 0)
        return random_text(out, seed);
    return random_bytes(out, pick(2, seed) == 0, seed);
}

/* What is changed below was good, or nothing of this would say anything. */
static void good_ones_are_accepted(uint8_t *input)
{
    LLVMFuzzerTestOneInput((const uint8_t *)good_text, sizeof good_text - 1);
    EXPECT(was_accepted);
    LLVMFuzzerTestOneInput(input, put_luks1(input));
    EXPECT(was_accepted);
}

static void run_file(const char *path)
{
    uint8_t *input = malloc(HEAD_BYTES);
    FILE *file = fopen(path, "rb");

    EXPECT(input != NULL && file != NULL);
    LLVMFuzzerTestOneInput(input, fread(input, 1, HEAD_BYTES, file));
    fclose(file);
    free(input);
}

/* With arguments: these files. */
int main(int argc, char **argv)
{
    static uint8_t input[INPUT_BYTES_MAX];
    unsigned seed = 1, accepted = 0;

    for (int i = 1; i < argc; i++)
        run_file(argv[i]);
    if (argc > 1)
        return EXIT_SUCCESS;
    good_ones_are_accepted(input);
    for (unsigned i = 0; i < RANDOM_INPUTS; i++) {
        LLVMFuzzerTestOneInput(input, random_input(input, &seed));
        accepted += was_accepted;
    }
    printf("%u of %u headers were accepted\n", accepted, RANDOM_INPUTS);
    EXPECT(accepted > RANDOM_INPUTS / 20 && accepted < RANDOM_INPUTS / 2);
    return EXIT_SUCCESS;
}

#endif
