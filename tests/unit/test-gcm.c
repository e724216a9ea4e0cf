/* AES-GCM beside GnuTLS: all lengths, places and ways to give a text, and damage at every byte. */
#include <errno.h>

#include <gnutls/crypto.h>

#include "crypto/gcm/gcm-choose.h"
#include "crypto/gcm/gcm-selftest.h"
#include "tests/support/check.h"

#define LENGTH_MAX 700u
#define ROOM_BYTES (TLS_LIKE_BYTES + GCM_TAG_BYTES + 128u)
#define TLS_LIKE_BYTES 16385u

static uint8_t plain[ROOM_BYTES], sealed[ROOM_BYTES], expected[ROOM_BYTES];
static uint8_t key[32], nonce[GCM_NONCE_BYTES], aad[48];

static void fill(uint8_t *data, size_t length_bytes)
{
    static unsigned seed = 3;

    for (size_t i = 0; i < length_bytes; i++)
        data[i] = (uint8_t)(rand_r(&seed) >> 7);
}

/* GnuTLS seals it into `expected`. */
static void expect_of_gnutls(size_t key_bytes, size_t aad_bytes, const uint8_t *text,
                             size_t length_bytes)
{
    gnutls_datum_t datum = { key, (unsigned)key_bytes };
    gnutls_aead_cipher_hd_t gnutls;
    size_t sealed_bytes = sizeof expected;

    EXPECT(gnutls_aead_cipher_init(
               &gnutls, key_bytes == 16 ? GNUTLS_CIPHER_AES_128_GCM : GNUTLS_CIPHER_AES_256_GCM,
               &datum) == 0);
    EXPECT(gnutls_aead_cipher_encrypt(gnutls, nonce, sizeof nonce, aad, aad_bytes, GCM_TAG_BYTES,
                                      text, length_bytes, expected, &sealed_bytes) == 0);
    EXPECT(sealed_bytes == length_bytes + GCM_TAG_BYTES);
    gnutls_aead_cipher_deinit(gnutls);
}

static void one_text(const struct gcm_ops *ops, size_t key_bytes, size_t aad_bytes,
                     size_t length_bytes, size_t shift)
{
    struct gcm gcm;
    struct gcm_text text = { nonce,
                             aad,
                             aad_bytes,
                             plain + shift,
                             length_bytes,
                             GCM_NO_TRAILER,
                             sealed + (shift + 5) % 64 };

    fill(key, sizeof key);
    fill(nonce, sizeof nonce);
    fill(plain, length_bytes + 64);
    gcm_init(&gcm, ops, key, key_bytes);
    expect_of_gnutls(key_bytes, aad_bytes, text.in, length_bytes);
    memset(sealed, 0x5a, sizeof sealed);
    gcm_seal(&gcm, &text);
    EXPECT(memcmp(text.out, expected, length_bytes + GCM_TAG_BYTES) == 0);
    EXPECT(text.out[length_bytes + GCM_TAG_BYTES] == 0x5a); /* nothing is written behind it */
    if (length_bytes > 0) {
        struct gcm_text parts = text;

        parts.trailer = text.in[--parts.length_bytes];
        memset(sealed, 0, sizeof sealed);
        gcm_seal(&gcm, &parts);
        EXPECT(memcmp(text.out, expected, length_bytes + GCM_TAG_BYTES) == 0);
    }
    struct gcm_text back = {
        nonce, aad, aad_bytes, text.out, length_bytes, GCM_NO_TRAILER, text.out
    };
    EXPECT(gcm_open(&gcm, &back));
    EXPECT(memcmp(back.out, text.in, length_bytes) == 0);
    back.in = back.out = plain + shift;
    gcm_seal(&gcm, &back); /* in place */
    EXPECT(memcmp(back.out, expected, length_bytes + GCM_TAG_BYTES) == 0);
    back.out = sealed;
    EXPECT(gcm_open(&gcm, &back)); /* elsewhere */
}

/* For each implementation that this machine can run. */
static void for_each(void (*run)(const struct gcm_ops *ops))
{
    const struct gcm_ops *ops;

    for (size_t i = 0; (ops = gcm_implementation_at(i)) != NULL; i++)
        if (ops->supports())
            run(ops);
}

static void lengths(const struct gcm_ops *ops)
{
    for (size_t length = 0; length <= LENGTH_MAX; length++)
        for (size_t key_bytes = 16; key_bytes <= 32; key_bytes += 16)
            one_text(ops, key_bytes, 5, length, length % 64);
    for (size_t length = 16384 - 40; length <= TLS_LIKE_BYTES; length++)
        one_text(ops, 16, 5, length, length % 64);
}

static void all_lengths(void)
{
    for_each(lengths);
}

static void aads(const struct gcm_ops *ops)
{
    fill(aad, sizeof aad);
    for (size_t aad_bytes = 0; aad_bytes <= sizeof aad; aad_bytes++)
        one_text(ops, 32, aad_bytes, 3 * aad_bytes, 0);
}

static void all_lengths_of_aad(void)
{
    for_each(aads);
}

/* Text, tag, authenticated data, nonce, key: a bit of any byte makes the tag wrong. */
static void damages(const struct gcm_ops *ops)
{
    const size_t length = 600;
    struct gcm gcm;
    struct gcm_text text = { nonce, aad, 13, plain, length, GCM_NO_TRAILER, sealed };

    gcm_init(&gcm, ops, key, 16);
    gcm_seal(&gcm, &text);
    text.in = sealed;
    text.out = plain;
    for (size_t bit = 0; bit < 8 * (length + GCM_TAG_BYTES); bit += 1 + bit % 3) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        EXPECT(!gcm_open(&gcm, &text));
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t i = 0; i < sizeof nonce; i++) {
        nonce[i] ^= 1;
        EXPECT(!gcm_open(&gcm, &text));
        nonce[i] ^= 1;
    }
    for (size_t i = 0; i < 13; i++) {
        aad[i] ^= 0x80;
        EXPECT(!gcm_open(&gcm, &text));
        aad[i] ^= 0x80;
    }
    text.aad_bytes = 12;
    EXPECT(!gcm_open(&gcm, &text));
    text.aad_bytes = 13;
    EXPECT(gcm_open(&gcm, &text));
    key[15] ^= 1;
    gcm_init(&gcm, ops, key, 16);
    EXPECT(!gcm_open(&gcm, &text));
}

static void damage_is_found(void)
{
    for_each(damages);
}

static void good(const struct gcm_ops *ops)
{
    struct error err = { .text = "" };

    EXPECT(gcm_selftest(ops, &err) == 0);
}

static const struct gcm_ops *wrong_from;

static void seal_wrongly(const struct gcm *gcm, const struct gcm_text *text, uint8_t *tag)
{
    wrong_from->seal(gcm, text, tag);
    if (text->length_bytes > 4096) /* beyond the known answers */
        text->out[4096] ^= 1;
}

static void open_wrongly(const struct gcm *gcm, const struct gcm_text *text, uint8_t *tag)
{
    wrong_from->open(gcm, text, tag);
    if (text->length_bytes > 32)
        text->out[32] ^= 1;
}

static void bad(const struct gcm_ops *ops)
{
    struct gcm_ops wrong = *ops;
    struct error err = { .text = "" };

    wrong_from = ops;
    wrong.seal = seal_wrongly;
    EXPECT(gcm_selftest(&wrong, &err) == -EIO);
    EXPECT_TEXT(err.text, "it does not agree with GnuTLS");
    wrong.seal = ops->seal;
    wrong.open = open_wrongly;
    EXPECT(gcm_selftest(&wrong, &err) == -EIO);
    EXPECT_TEXT(err.text, "it decrypts wrongly");
}

static void selftest_tells(void)
{
    for_each(good);
    for_each(bad);
}

static const struct check checks[] = {
    { "texts of all lengths are those of GnuTLS, anywhere and in place", all_lengths },
    { "authenticated data of all lengths is that of GnuTLS", all_lengths_of_aad },
    { "a bit of any byte that is wrong is found", damage_is_found },
    { "the self-test tells a good implementation from a bad one", selftest_tells },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
