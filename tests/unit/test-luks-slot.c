/* Keyslots opened by crypto/luks/luks-own-keyslot.h: those that libcryptsetup makes (AES, which it
 * opens too) with every hash and key derivation give the same volume key; those that are made here
 * with other ciphers open again. */
#include <errno.h>
#include <unistd.h>

#include "crypto/luks/luks-format.h"
#include "crypto/luks/luks-keyslot.h"
#include "crypto/luks/luks-own-keyslot.h"
#include "crypto/luks/luks-store.h"
#include "tests/support/check.h"

#define MIB (UINT64_C(1) << 20)

static struct secret *new_secret(const char *text)
{
    struct secret *secret;

    EXPECT(secret_copy(&secret, text, strlen(text), NULL) == 0);
    return secret;
}

/* A header in memory; NULL when the library can't make it.  The caller closes *fd when it is done
 * with it. */
static struct luks_header *make_header(int *fd, const struct luks_format_options *options,
                                       const char *passphrase_text)
{
    struct secret *passphrase = new_secret(passphrase_text);
    struct luks_format_result made;
    struct luks_header *header = NULL;
    struct error err = { "" };

    if (luks_format(&made, options, passphrase, &err) < 0) {
        printf("(%s) ", err.text);
        secret_free(passphrase);
        return NULL;
    }
    EXPECT(luks_load(&header, luks_store_read_memory, &made.image_fd, made.header_bytes,
                     options->data_bytes, false, &err) == 0);
    *fd = made.image_fd;
    secret_free(passphrase);
    return header;
}

/* By any keyslot. */
static int unlock_any(struct secret **key, struct luks_header *header,
                      const struct secret *passphrase, struct error *err)
{
    int slot = LUKS_KEYSLOT_ANY;

    return luks_keyslot_open(key, &slot, header, passphrase, err);
}

/* Whether there was a header to open. */
static bool opens_the_same(const struct luks_format_options *options)
{
    struct secret *passphrase = new_secret("right"), *wrong = new_secret("wrong");
    struct secret *ours = NULL, *theirs = NULL;
    struct error err = { "" };
    int fd;
    struct luks_header *header = make_header(&fd, options, "right");

    if (header == NULL) {
        secret_free(passphrase);
        secret_free(wrong);
        return false;
    }
    EXPECT(!luks_own_keyslot_any_is_ours(header));
    EXPECT(unlock_any(&theirs, header, passphrase, &err) == 0);
    EXPECT(luks_own_keyslot_open(&ours, 0, header, passphrase, &err) == 0);
    EXPECT(secret_equal(ours, theirs));
    secret_free(ours);
    EXPECT(luks_own_keyslot_open(&ours, 0, header, wrong, &err) == -EACCES);
    secret_free(theirs);
    secret_free(wrong);
    secret_free(passphrase);
    luks_free(header);
    (void)close(fd);
    return true;
}

static struct luks_format_options options_of(enum luks_type type, const char *cipher,
                                             unsigned key_bits)
{
    return (struct luks_format_options){
        .type = type,
        .cipher = cipher,
        .key_bits = key_bits,
        .sector_bytes = 512,
        .pbkdf = { .name = "pbkdf2", .iterations = 1000 },
        .data_bytes = 20 * MIB,
    };
}

static void every_hash(void)
{
    static const char *const hashes[] = {
        "sha1",        "sha224",      "sha256",    "sha384",    "sha512",
        "sha512-256",  "sha3-224",    "sha3-256",  "sha3-384",  "sha3-512",
        "blake2b-512", "blake2s-256", "ripemd160", "whirlpool", "sm3",
    };
    unsigned opened = 0;

    /* A libcryptsetup may be built on a library that lacks some of the newer ones. */
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++)
        for (int type = LUKS_TYPE_1; type <= LUKS_TYPE_2; type++) {
            struct luks_format_options options =
                options_of((enum luks_type)type, "aes-xts-plain64", 512);

            options.pbkdf.hash = hashes[i];
            opened += opens_the_same(&options);
        }
    EXPECT(opened >= 10);
}

static void every_derivation(void)
{
    struct luks_format_options options = options_of(LUKS_TYPE_2, "aes-cbc-essiv:sha256", 192);

    EXPECT(opens_the_same(&options));
    options.pbkdf = (struct luks_pbkdf){ "argon2i", NULL, 4, 64, 1 };
    EXPECT(opens_the_same(&options));
    options.pbkdf = (struct luks_pbkdf){ "argon2id", NULL, 5, 1024, 3 };
    EXPECT(opens_the_same(&options));
}

static void other_ciphers(void)
{
    static const struct {
        const char *cipher;
        unsigned key_bits;
    } rows[] = {
        { "serpent-xts-plain64", 512 },
        { "serpent-cbc-essiv:sha256", 256 },
        { "twofish-xts-plain", 256 },
        { "camellia-cbc-plain64be", 192 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int type = LUKS_TYPE_1; type <= LUKS_TYPE_2; type++) {
            struct luks_format_options options =
                options_of((enum luks_type)type, rows[i].cipher, rows[i].key_bits);
            struct secret *passphrase = new_secret("right"), *wrong = new_secret("wrong"),
                          *key = NULL;
            struct error err = { "" };
            int fd;
            struct luks_header *header = make_header(&fd, &options, "right");

            EXPECT(header);
            EXPECT_TEXT(luks_segment(header)->cipher.name, rows[i].cipher);
            EXPECT(luks_own_keyslot_any_is_ours(header) == (type == LUKS_TYPE_1));
            EXPECT(unlock_any(&key, header, passphrase, &err) == 0);
            EXPECT(key->length_bytes == rows[i].key_bits / 8);
            secret_free(key);
            EXPECT(unlock_any(&key, header, wrong, &err) == -EACCES);
            EXPECT_TEXT(err.text, "no keyslot opens with this key");
            secret_free(wrong);
            secret_free(passphrase);
            luks_free(header);
            (void)close(fd);
        }
}

static const struct check checks[] = {
    { "keyslots with every hash open as they do for libcryptsetup", every_hash },
    { "keyslots with every key derivation open as they do for libcryptsetup", every_derivation },
    { "volumes of other ciphers open again", other_ciphers },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
