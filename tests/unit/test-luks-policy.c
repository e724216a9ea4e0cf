/* Headers as attackers: break one field of a good header, get the exact message.
 * Adding a case is one row. */
#include <errno.h>

#include <json-c/json.h>
#include <json-c/json_pointer.h>

#include "crypto/luks/luks1-policy.h"
#include "crypto/luks/luks2-json.h"
#include "crypto/luks/luks2-policy.h"
#include "tests/support/check.h"

#define MIB (1024u * 1024u)

static const struct luks_sizes in_image = { .header_bytes = 64 * MIB, .data_bytes = 64 * MIB };
static const struct luks_sizes detached = { .header_bytes = 16 * MIB,
                                            .data_bytes = 64 * MIB,
                                            .detached = true };

/* ---- LUKS1 ---- */

static void put_be32(uint8_t *at, uint32_t number)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (24 - 8 * i));
}

#define SUPPORTED                                                                             \
    "(supported: aes, serpent, twofish and camellia, in the modes xts and cbc, with the IVs " \
    "plain64, plain, plain64be and essiv:sha256)"
#define KEYS_SUPPORTED "(supported: 256, 384 and 512)"
#define HASHES_SUPPORTED                                                                 \
    "(supported: sha1, sha224, sha256, sha384, sha512, sha512-256, sha3-224, sha3-256, " \
    "sha3-384, sha3-512, blake2b-512, blake2s-256, ripemd160, whirlpool, sm3)"

/* As cryptsetup makes it: aes-xts-plain64, 512 bits, keyslot 0 in use, payload at 2 MiB. */
static void make_luks1(uint8_t bytes[LUKS1_HEADER_BYTES])
{
    memset(bytes, 0, LUKS1_HEADER_BYTES);
    memcpy(bytes, "LUKS\xba\xbe\x00\x01", 8);
    memcpy(bytes + 8, "aes", 4);
    memcpy(bytes + 40, "xts-plain64", 12);
    memcpy(bytes + 72, "sha256", 7);
    put_be32(bytes + 104, 4096);
    put_be32(bytes + 108, 64);
    put_be32(bytes + 164, 100000);
    memcpy(bytes + 168, "01234567-89ab-cdef-0123-456789abcdef", 37);
    for (uint32_t slot = 0; slot < 8; slot++) {
        uint8_t *keyslot = bytes + 208 + slot * 48u;

        put_be32(keyslot, slot == 0 ? 0x00ac71f3 : 0x0000dead);
        put_be32(keyslot + 4, slot == 0 ? 1000000 : 0);
        put_be32(keyslot + 40, 8 + slot * 504);
        put_be32(keyslot + 44, 4000);
    }
}

static int check_luks1(struct luks_segment *segment, const uint8_t bytes[LUKS1_HEADER_BYTES],
                       const struct luks_sizes *sizes, struct error *err)
{
    struct luks_areas areas;
    struct luks1_header header;
    int result = luks1_policy_parse(&header, bytes, err);

    return result < 0 ? result : luks1_policy_check(segment, &areas, &header, sizes, err);
}

#define TEXT NULL, 0 /* the row changes text, not a number */

static const struct {
    size_t at;        /* in the header */
    const char *text; /* what is put there; NULL: the number */
    size_t text_bytes;
    uint32_t number;
    int code;
    const char *message;
} luks1_cases[] = {
    { 208 + 44, TEXT, 3999, -EPERM, "keyslot 0: 3999 stripes, expected 4000" },
    { 208 + 44, TEXT, 0xffffffff, -EPERM, "keyslot 0: 4294967295 stripes, expected 4000" },
    { 208 + 48 + 44, TEXT, 1, -EPERM, "keyslot 1: 1 stripes, expected 4000" },
    { 208 + 40, TEXT, 0, -EPERM, "keyslot 0: its area begins at byte 0, inside the header" },
    { 208 + 40, TEXT, 1, -EPERM, "keyslot 0: its area begins at byte 512, inside the header" },
    { 208 + 40, TEXT, 3597, -EPERM,
      "keyslot 0: its area ends at byte 2097664, inside the payload, which begins at 2097152" },
    { 208 + 40, TEXT, 0xffffffff, -EPERM,
      "keyslot 0: its area ends at byte 2199023511040, inside the payload, which begins at "
      "2097152" },
    { 208 + 48 + 40, TEXT, 8 + 499, -EPERM, "keyslot 1: its area overlaps the one of keyslot 0" },
    { 208, TEXT, 7, -EINVAL, "keyslot 0: its state 0x00000007 is neither in use nor free" },
    { 208 + 4, TEXT, 0, -EPERM, "keyslot 0: 0 PBKDF2 iterations" },
    { 208 + 4, TEXT, 0xffffffff, -EPERM,
      "keyslot 0: 4294967295 PBKDF2 iterations, at most 268435456 are accepted" },
    { 164, TEXT, 0, -EPERM, "volume key digest: 0 PBKDF2 iterations" },
    { 164, TEXT, 1u << 29, -EPERM,
      "volume key digest: 536870912 PBKDF2 iterations, at most 268435456 are accepted" },
    { 108, TEXT, 0, -ENOTSUP,
      "cipher 'aes-xts-plain64' does not take a key of 0 bits " KEYS_SUPPORTED },
    { 108, TEXT, 40, -ENOTSUP,
      "cipher 'aes-xts-plain64' does not take a key of 320 bits " KEYS_SUPPORTED },
    /* 8 times this is 512 in 32 bits */
    { 108, TEXT, 0x20000040, -ENOTSUP, "a volume key of 536870976 bytes is not supported" },
    { 104, TEXT, 131072, -ENODATA,
      "the image is 67108864 bytes, its payload begins at 67108864: it is truncated, or it is a "
      "detached header (then give it with --header, and the data as the image)" },
    { 104, TEXT, 0xffffffff, -ENODATA,
      "the image is 67108864 bytes, its payload begins at 2199023255040: it is truncated, or it "
      "is a detached header (then give it with --header, and the data as the image)" },
    { 104, TEXT, 8, -EPERM,
      "keyslot 0: its area ends at byte 260096, inside the payload, which begins at 4096" },
    { 8, "cipher_null", 12, 0, -EPERM,
      "cipher 'cipher_null-xts-plain64' leaves the data unencrypted; null ciphers are always "
      "refused" },
    { 8, "blowfish", 9, 0, -ENOTSUP, "cipher 'blowfish-xts-plain64' is not supported " SUPPORTED },
    { 40, "cbc-essiv:sha1", 15, 0, -ENOTSUP,
      "cipher 'aes-cbc-essiv:sha1' is not supported " SUPPORTED },
    { 40, "\033[2J", 5, 0, -ENOTSUP, "cipher 'aes-?[2J' is not supported " SUPPORTED },
    { 72, "md5", 4, 0, -ENOTSUP,
      "volume key digest: hash 'md5' is not supported " HASHES_SUPPORTED },
    { 8, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 32, 0, -EINVAL, "the field 'cipher-name' has no end" },
    { 168, "0123456789012345678901234567890123456789", 40, 0, -EINVAL,
      "the field 'uuid' has no end" },
};

static void luks1_good(void)
{
    uint8_t bytes[LUKS1_HEADER_BYTES];
    struct luks_segment segment;
    struct error err = { "" };

    make_luks1(bytes);
    EXPECT(check_luks1(&segment, bytes, &in_image, &err) == 0);
    EXPECT_TEXT(segment.cipher.name, "aes-xts-plain64");
    EXPECT_TEXT(segment.uuid, "01234567-89ab-cdef-0123-456789abcdef");
    EXPECT(segment.type == LUKS_TYPE_1 && segment.cipher.key_bits == 512);
    EXPECT(segment.sector_bytes == 512 && segment.iv_offset_sectors == 0);
    EXPECT(segment.payload_offset_bytes == 2 * MIB && segment.payload_bytes == 62 * MIB);
    put_be32(bytes + 104, 0); /* allowed when the data is elsewhere */
    EXPECT(check_luks1(&segment, bytes, &detached, &err) == 0);
    EXPECT(segment.payload_offset_bytes == 0 && segment.payload_bytes == 64 * MIB);
}

static void luks1_broken(void)
{
    for (size_t i = 0; i < sizeof luks1_cases / sizeof luks1_cases[0]; i++) {
        uint8_t bytes[LUKS1_HEADER_BYTES];
        struct luks_segment segment;
        struct error err = { "" };

        make_luks1(bytes);
        if (luks1_cases[i].text)
            memcpy(bytes + luks1_cases[i].at, luks1_cases[i].text, luks1_cases[i].text_bytes);
        else
            put_be32(bytes + luks1_cases[i].at, luks1_cases[i].number);
        EXPECT(check_luks1(&segment, bytes, &in_image, &err) == luks1_cases[i].code);
        EXPECT_TEXT(err.text, luks1_cases[i].message);
    }
}

static void luks1_truncated(void)
{
    struct luks_sizes small = { .header_bytes = 200000, .data_bytes = 64 * MIB, .detached = true };
    uint8_t bytes[LUKS1_HEADER_BYTES];
    struct luks_segment segment;
    struct error err = { "" };

    make_luks1(bytes);
    EXPECT(check_luks1(&segment, bytes, &small, &err) == -EINVAL);
    EXPECT_TEXT(err.text, "keyslot 0: its area ends at byte 260096, but the header file has only "
                          "200000 bytes: it is truncated");
}

/* ---- LUKS2 ---- */

#define COPY_BYTES 16384u

#define A32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" /* 32 bytes */

/* As cryptsetup makes it, with two keyslots; the second one with PBKDF2. */
static const char luks2_text[] =
    "{\"keyslots\":{"
    "\"0\":{\"type\":\"luks2\",\"key_size\":64,"
    "\"af\":{\"type\":\"luks1\",\"stripes\":4000,\"hash\":\"sha256\"},"
    "\"area\":{\"type\":\"raw\",\"offset\":\"32768\",\"size\":\"258048\","
    "\"encryption\":\"aes-xts-plain64\",\"key_size\":64},"
    "\"kdf\":{\"type\":\"argon2id\",\"time\":4,\"memory\":1048576,\"cpus\":4,\"salt\":\"" A32
    "\"}},"
    "\"1\":{\"type\":\"luks2\",\"key_size\":64,"
    "\"af\":{\"type\":\"luks1\",\"stripes\":4000,\"hash\":\"sha256\"},"
    "\"area\":{\"type\":\"raw\",\"offset\":\"290816\",\"size\":\"258048\","
    "\"encryption\":\"aes-xts-plain64\",\"key_size\":64},"
    "\"kdf\":{\"type\":\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":1000,\"salt\":\"" A32 "\"}}},"
    "\"tokens\":{},"
    "\"segments\":{\"0\":{\"type\":\"crypt\",\"offset\":\"16777216\",\"size\":\"dynamic\","
    "\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\",\"sector_size\":4096}},"
    "\"digests\":{\"0\":{\"type\":\"pbkdf2\",\"keyslots\":[\"0\",\"1\"],\"segments\":[\"0\"],"
    "\"hash\":\"sha256\",\"iterations\":100000,\"salt\":\"" A32 "\",\"digest\":\"" A32 "\"}},"
    "\"config\":{\"json_size\":\"12288\",\"keyslots_size\":\"16744448\"}}";

#define GONE "" /* the field is removed */
#define NULL_REFUSED "leaves the data unencrypted; null ciphers are always refused"

static const struct {
    const char *path;  /* a JSON pointer */
    const char *value; /* JSON text */
    int code;
    const char *message;
} luks2_cases[] = {
    { "/segments/0/encryption", "\"cipher_null-ecb\"", -EPERM,
      "segment 0: cipher 'cipher_null-ecb' " NULL_REFUSED },
    { "/segments/0/encryption", "\"capi:ecb(cipher_null)-plain64\"", -EPERM,
      "segment 0: cipher 'capi:ecb(cipher_null)-plain64' " NULL_REFUSED },
    { "/segments/0/encryption", "\"blowfish-xts-plain64\"", -ENOTSUP,
      "segment 0: cipher 'blowfish-xts-plain64' is not supported " SUPPORTED },
    { "/segments/0/encryption", GONE, -EINVAL, "segment 0: the field 'encryption' is missing" },
    { "/segments/0/encryption", "7", -EINVAL,
      "segment 0: the field 'encryption' is not of type string" },
    { "/segments/0/type", "\"linear\"", -ENOTSUP,
      "segment 0: type 'linear' is not supported, only 'crypt'" },
    { "/segments/0/type", "\"hw-opal\"", -ENOTSUP,
      "segment 0: type 'hw-opal' is not supported, only 'crypt'" },
    { "/segments/0/type", "\"hw-opal-crypt\"", -ENOTSUP,
      "segment 0: type 'hw-opal-crypt' is not supported, only 'crypt'" },
    { "/segments/0/integrity", "{\"type\":\"hmac(sha256)\"}", -ENOTSUP,
      "segment 0: authenticated encryption ('integrity') is not supported" },
    { "/segments/0/flags", "[\"backup-final\"]", -ENOTSUP,
      "segment 0: it has flags, which belong to a re-encryption under way; finish it with "
      "cryptsetup reencrypt" },
    { "/segments/1", "{\"type\":\"linear\"}", -ENOTSUP, "2 segments, expected exactly one" },
    { "/segments", "{}", -ENOTSUP, "0 segments, expected exactly one" },
    { "/segments", "[]", -EINVAL, "the field 'segments' is not of type object" },
    { "/segments/0/sector_size", "8192", -EPERM,
      "segment 0: sector size 8192 is not one of 512, 1024, 2048 and 4096" },
    { "/segments/0/sector_size", "0", -EPERM,
      "segment 0: sector size 0 is not one of 512, 1024, 2048 and 4096" },
    { "/segments/0/sector_size", "-512", -EINVAL,
      "segment 0: the field 'sector_size' is out of range" },
    { "/segments/0/offset", "\"100000000\"", -EPERM,
      "segment 0: offset 100000000 is not a multiple of 512" },
    { "/segments/0/offset", "\"67108864\"", -ENODATA,
      "the image is 67108864 bytes, its payload begins at 67108864: it is truncated, or it is a "
      "detached header (then give it with --header, and the data as the image)" },
    { "/segments/0/offset", "\"67108352\"", -EINVAL,
      "the image is 67108864 bytes, its payload begins at 67108352: there is no room for one "
      "sector of 4096 bytes" },
    { "/segments/0/offset", "\"0\"", -EPERM,
      "segment 0: the payload begins at byte 0, inside the header, which ends at 16777216 (give a "
      "detached header with --header, and the data as the image)" },
    { "/segments/0/offset", "\"18446744073709551616\"", -EINVAL,
      "segment 0: the field 'offset' is not a number: '18446744073709551616'" },
    { "/segments/0/offset", "\"-512\"", -EINVAL,
      "segment 0: the field 'offset' is not a number: '-512'" },
    { "/segments/0/size", "\"4097\"", -EPERM,
      "segment 0: size 4097 is not a multiple of its sectors of 4096" },
    { "/segments/0/size", "\"0\"", -EPERM,
      "segment 0: size 0 is not a multiple of its sectors of 4096" },
    { "/segments/0/size", "\"1073741824\"", -EINVAL,
      "the image is 67108864 bytes, its payload of 1073741824 bytes begins at 16777216: it is "
      "truncated" },
    { "/segments/0/iv_tweak", "\"18446744073709551615\"", -EPERM,
      "segment 0: iv_tweak 18446744073709551615 makes sector numbers wrap" },

    { "/config/requirements", "{\"mandatory\":[\"online-reencrypt-v2\"]}", -ENOTSUP,
      "the header requires 'online-reencrypt-v2', which is not supported: a re-encryption is "
      "under way; finish it with cryptsetup reencrypt" },
    { "/config/requirements", "{\"mandatory\":[\"opal\"]}", -ENOTSUP,
      "the header requires 'opal', which is not supported: the data is encrypted by OPAL "
      "hardware" },
    { "/config/requirements", "{\"mandatory\":[\"inline-hw-tags\"]}", -ENOTSUP,
      "the header requires 'inline-hw-tags', which is not supported: it uses integrity tags of "
      "the hardware" },
    { "/config/requirements", "{\"mandatory\":[\"telepathy\"]}", -ENOTSUP,
      "the header requires 'telepathy', which is unknown: the volume needs newer software" },
    { "/config/requirements", "{\"mandatory\":\"opal\"}", -EINVAL,
      "config: requirements: the field 'mandatory' is not of type array" },
    { "/config/requirements", "{\"mandatory\":[1]}", -EINVAL,
      "config: requirements: 'mandatory' holds what is no name" },
    { "/config/keyslots_size", "\"16744449\"", -EPERM,
      "config: keyslots_size 16744449 is not a multiple of 4096 up to 134217728" },
    { "/config/keyslots_size", "\"18446744073709547520\"", -EPERM,
      "config: keyslots_size 18446744073709547520 is not a multiple of 4096 up to 134217728" },
    { "/config", GONE, -EINVAL, "the field 'config' is missing" },

    { "/keyslots/0/af/stripes", "3999", -EPERM, "keyslot 0: 3999 stripes, expected 4000" },
    { "/keyslots/1/af/type", "\"luks2\"", -ENOTSUP,
      "keyslot 1: anti-forensic splitter 'luks2' is not supported" },
    { "/keyslots/0/af/hash", "\"md4\"", -ENOTSUP,
      "keyslot 0: hash 'md4' is not supported " HASHES_SUPPORTED },
    { "/keyslots/0/type", "\"reencrypt\"", -ENOTSUP,
      "keyslot 0: type 'reencrypt' is not supported, only 'luks2'" },
    { "/keyslots/0/area/type", "\"journal\"", -ENOTSUP,
      "keyslot 0: area type 'journal' is not supported, only 'raw'" },
    { "/keyslots/0/area/encryption", "\"cipher_null-ecb\"", -EPERM,
      "keyslot 0: cipher 'cipher_null-ecb' " NULL_REFUSED },
    { "/keyslots/1/area/encryption", "\"twofish-lrw-benbi\"", -ENOTSUP,
      "keyslot 1: cipher 'twofish-lrw-benbi' is not supported " SUPPORTED },
    { "/keyslots/1/area/key_size", "24", -ENOTSUP,
      "keyslot 1: cipher 'aes-xts-plain64' does not take a key of 192 bits " KEYS_SUPPORTED },
    { "/keyslots/0/area/key_size", "536870976", -EPERM,
      "keyslot 0: its area's key of 536870976 bytes is not supported" },
    { "/keyslots/0/area/offset", "\"4096\"", -EPERM,
      "keyslot 0: its area begins at byte 4096, outside the keyslots' part of the header (32768 "
      "to 16777216)" },
    { "/keyslots/0/area/offset", "\"16777216\"", -EPERM,
      "keyslot 0: its area begins at byte 16777216, outside the keyslots' part of the header "
      "(32768 to 16777216)" },
    { "/keyslots/0/area/offset", "\"18446744073709547520\"", -EPERM,
      "keyslot 0: its area begins at byte 18446744073709547520, outside the keyslots' part of the "
      "header (32768 to 16777216)" },
    { "/keyslots/0/area/offset", "\"16773120\"", -EPERM,
      "keyslot 0: its area of 258048 bytes ends outside the keyslots' part of the header (32768 "
      "to 16777216)" },
    { "/keyslots/0/area/size", "\"18446744073709551615\"", -EPERM,
      "keyslot 0: its area of 18446744073709551615 bytes ends outside the keyslots' part of the "
      "header (32768 to 16777216)" },
    { "/keyslots/0/area/size", "\"4096\"", -EPERM,
      "keyslot 0: its area of 4096 bytes is too small for a key of 64 bytes" },
    { "/keyslots/1/area/offset", "\"286720\"", -EPERM,
      "keyslot 1: its area overlaps the one of keyslot 0" },
    { "/keyslots/1/kdf/iterations", "4000000000", -EPERM,
      "keyslot 1: 4000000000 PBKDF2 iterations, at most 268435456 are accepted" },
    { "/keyslots/1/kdf/iterations", "0", -EPERM, "keyslot 1: 0 PBKDF2 iterations" },
    { "/keyslots/0/kdf/memory", "4194305", -EPERM,
      "keyslot 0: Argon2 memory of 4194305 KiB, at most 4194304 are accepted" },
    { "/keyslots/0/kdf/time", "257", -EPERM,
      "keyslot 0: Argon2 time of 257 with 1048576 KiB of memory, at most 256 passes are "
      "accepted" },
    { "/keyslots/0/kdf/time", "0", -EPERM,
      "keyslot 0: Argon2 with time 0, memory 1048576 KiB, 4 lanes: none of them may be 0" },
    { "/keyslots/0/kdf/cpus", "5", -EPERM,
      "keyslot 0: Argon2 with 5 lanes, at most 4 are accepted" },
    { "/keyslots/0/kdf/type", "\"scrypt\"", -ENOTSUP,
      "keyslot 0: key derivation 'scrypt' is not supported" },
    { "/keyslots/0/kdf", GONE, -EINVAL, "keyslot 0: the field 'kdf' is missing" },
    { "/keyslots/32", "{\"type\":\"luks2\",\"key_size\":64}", -EINVAL,
      "'32' is not the number of a keyslot (0 to 31)" },
    { "/keyslots/01", "{\"type\":\"luks2\",\"key_size\":64}", -EINVAL,
      "'01' is not the number of a keyslot (0 to 31)" },
    { "/keyslots/1/key_size", "32", -EPERM,
      "keyslot 1: key size of 32 bytes, other keyslots of the volume key have 64" },
    { "/keyslots/0/key_size", "536870976", -EPERM,
      "keyslot 0: key size of 536870976 bytes, expected 1 to 512" },

    { "/digests/0/type", "\"sha256\"", -ENOTSUP,
      "digest 0: type 'sha256' is not supported, only 'pbkdf2'" },
    { "/digests/0/iterations", "4294967295", -EPERM,
      "digest 0: 4294967295 PBKDF2 iterations, at most 268435456 are accepted" },
    { "/digests/0/digest", "\"\"", -EPERM,
      "digest 0: the field 'digest' has 0 bytes, expected 20 to 64" },
    { "/digests/0/segments", "[]", -EPERM, "segment 0 has no digest, so no key can be verified" },
    { "/digests/1",
      "{\"type\":\"pbkdf2\",\"keyslots\":[],\"segments\":[\"0\"],\"hash\":\"sha256\","
      "\"iterations\":1000,\"salt\":\"" A32 "\",\"digest\":\"" A32 "\"}",
      -EPERM, "segment 0 has more than one digest" },
    { "/digests/0/keyslots", "[]", -ENOKEY,
      "no keyslot holds the volume key (erased?): no passphrase can open it" },
};

static struct json_object *make_luks2(void)
{
    struct json_object *root = NULL;
    struct error err = { "" };

    EXPECT(luks2_json_parse(&root, luks2_text, sizeof luks2_text, &err) == 0);
    return root;
}

static void change(struct json_object **root, const char *path, const char *value)
{
    const char *last = strrchr(path, '/');
    struct json_object *parent = *root;
    char parent_path[128] = "";

    if (*value != '\0') {
        EXPECT(json_pointer_set(root, path, json_tokener_parse(value)) == 0);
        return;
    }
    memcpy(parent_path, path, (size_t)(last - path));
    if (last != path)
        EXPECT(json_pointer_get(*root, parent_path, &parent) == 0);
    json_object_object_del(parent, last + 1);
}

static int check_luks2(struct luks_segment *segment, struct json_object *root,
                       const struct luks_sizes *sizes, struct error *err)
{
    struct luks_areas areas;

    return luks2_policy_check(segment, &areas, root, COPY_BYTES, sizes, err);
}

static void luks2_good(void)
{
    struct json_object *root = make_luks2();
    struct luks_segment segment;
    struct error err = { "" };

    EXPECT(check_luks2(&segment, root, &in_image, &err) == 0);
    EXPECT(segment.type == LUKS_TYPE_2 && segment.cipher.key_bits == 512);
    EXPECT(segment.sector_bytes == 4096 && !segment.allow_discards);
    EXPECT(segment.payload_offset_bytes == 16 * MIB && segment.payload_bytes == 48 * MIB);
    change(&root, "/segments/0/size", "\"8192\"");
    change(&root, "/segments/0/iv_tweak", "\"24\"");
    change(&root, "/config/flags", "[\"no-journal\",\"allow-discards\"]");
    change(&root, "/config/requirements", "{\"mandatory\":[]}");
    EXPECT(check_luks2(&segment, root, &in_image, &err) == 0);
    EXPECT(segment.payload_bytes == 8192 && segment.iv_offset_sectors == 24);
    EXPECT(segment.allow_discards);
    change(&root, "/segments/0/offset", "\"0\"");
    EXPECT(check_luks2(&segment, root, &detached, &err) == 0);
    json_object_put(root);
}

static void luks2_broken(void)
{
    for (size_t i = 0; i < sizeof luks2_cases / sizeof luks2_cases[0]; i++) {
        struct json_object *root = make_luks2();
        struct luks_segment segment;
        struct error err = { "" };
        int result;

        change(&root, luks2_cases[i].path, luks2_cases[i].value);
        result = check_luks2(&segment, root, &in_image, &err);
        json_object_put(root);
        EXPECT_TEXT(err.text, luks2_cases[i].message);
        EXPECT(result == luks2_cases[i].code);
    }
}

static void luks2_truncated(void)
{
    struct luks_sizes small = { .header_bytes = 300000, .data_bytes = 64 * MIB, .detached = true };
    struct json_object *root = make_luks2();
    struct luks_segment segment;
    struct error err = { "" };

    EXPECT(check_luks2(&segment, root, &small, &err) == -EINVAL);
    EXPECT_TEXT(err.text, "keyslot 1: its area ends at byte 548864, but the header file has only "
                          "300000 bytes: it is truncated");
    json_object_put(root);
}

static void expect_no_json(const char *text, size_t length_bytes, const char *message)
{
    struct json_object *root = NULL;
    struct error err = { "" };

    EXPECT(luks2_json_parse(&root, text, length_bytes, &err) == -EINVAL);
    EXPECT_TEXT(err.text, message);
}

static void luks2_not_json(void)
{
    char deep[200];

    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    expect_no_json("", 1, "the JSON text can't be parsed: unexpected end of data");
    expect_no_json("{\"a\":", 6, "the JSON text can't be parsed: unexpected end of data");
    expect_no_json("{a}", 4, "the JSON text can't be parsed: quoted object property name expected");
    expect_no_json("[]", 3, "the JSON text is not an object");
    expect_no_json("null", 5, "the JSON text is not an object");
    expect_no_json("{}", 2, "the JSON text has no end");
    expect_no_json(deep, sizeof deep, "the JSON text can't be parsed: nesting too deep");
}

/* ---- costs ---- */

static void costs_up_to_the_caps_are_accepted(void)
{
    EXPECT(luks_policy_pbkdf2(1, NULL) == 0);
    EXPECT(luks_policy_pbkdf2(LUKS_PBKDF2_ITERATIONS_MAX, NULL) == 0);
    EXPECT(luks_policy_pbkdf2(LUKS_PBKDF2_ITERATIONS_MAX + 1, NULL) == -EPERM);
    EXPECT(luks_policy_argon2(64, LUKS_ARGON2_MEMORY_KIB_MAX, 4, NULL) == 0);
    EXPECT(luks_policy_argon2(65, LUKS_ARGON2_MEMORY_KIB_MAX, 4, NULL) == -EPERM);
    EXPECT(luks_policy_argon2(UINT32_MAX, 32, 1, NULL) == -EPERM);
    EXPECT(luks_policy_argon2(100000, 64, 1, NULL) == 0);
}

static const struct check checks[] = {
    { "a good LUKS1 header is accepted", luks1_good },
    { "each broken field of LUKS1 is named", luks1_broken },
    { "a truncated LUKS1 header file is refused", luks1_truncated },
    { "a good LUKS2 header is accepted", luks2_good },
    { "each broken field of LUKS2 is named", luks2_broken },
    { "a truncated LUKS2 header file is refused", luks2_truncated },
    { "LUKS2 metadata that is no JSON is refused", luks2_not_json },
    { "costs up to the caps are accepted", costs_up_to_the_caps_are_accepted },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
