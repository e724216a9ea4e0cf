/* Known answers, and GnuTLS as a second opinion: see gcm-selftest.h.
 *
 * The known answers are test cases 3, 4, 15 and 16 of McGrew and Viega, "The Galois/Counter Mode of
 * Operation (GCM)", Appendix B, which NIST's validation took over.  They are short; longer texts
 * are compared with GnuTLS, at the lengths where a kernel goes from one way of working to
 * another. */
#include "crypto/gcm/gcm-selftest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>

#include "crypto/secret.h"

#define TEXT_BYTES_MAX 16385u

static const uint8_t known_key[32] = {
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
};
static const uint8_t known_nonce[GCM_NONCE_BYTES] = {
    0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88,
};
static const uint8_t known_plain[64] = {
    0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26, 0x9a,
    0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72,
    0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25,
    0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39, 0x1a, 0xaf, 0xd2, 0x55,
};
static const uint8_t known_aad[20] = {
    0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
    0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2,
};

struct known {
    size_t key_bytes, length_bytes, aad_bytes;
    uint8_t tag[GCM_TAG_BYTES];
};

/* The tag depends on every byte of the ciphertext. */
static const struct known knowns[] = {
    { 16,
      64,
      0,
      { 0x4d, 0x5c, 0x2a, 0xf3, 0x27, 0xcd, 0x64, 0xa6, 0x2c, 0xf3, 0x5a, 0xbd, 0x2b, 0xa6, 0xfa,
        0xb4 } },
    { 16,
      60,
      20,
      { 0x5b, 0xc9, 0x4f, 0xbc, 0x32, 0x21, 0xa5, 0xdb, 0x94, 0xfa, 0xe9, 0x5a, 0xe7, 0x12, 0x1a,
        0x47 } },
    { 32,
      64,
      0,
      { 0xb0, 0x94, 0xda, 0xc5, 0xd9, 0x34, 0x71, 0xbd, 0xec, 0x1a, 0x50, 0x22, 0x70, 0xe3, 0xcc,
        0x6c } },
    { 32,
      60,
      20,
      { 0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d, 0x55,
        0x1b } },
};

static const size_t lengths_bytes[] = {
    0,   1,   15,  16,  17,  31,   32,   33,   63,   64,    65,    255,
    256, 257, 511, 512, 513, 1023, 1024, 1025, 4112, 16384, 16385,
};

struct work {
    uint8_t plain[TEXT_BYTES_MAX];
    uint8_t sealed[TEXT_BYTES_MAX + GCM_TAG_BYTES], expected[TEXT_BYTES_MAX + GCM_TAG_BYTES];
    struct gcm gcm;
};

/* Opens what has been sealed, in place; then with the tag damaged. */
static const char *check_open(struct work *work, struct gcm_text text)
{
    text.trailer = GCM_NO_TRAILER;
    text.in = text.out = work->sealed;
    if (!gcm_open(&work->gcm, &text))
        return "does not open";
    if (memcmp(work->sealed, work->plain, text.length_bytes) != 0)
        return "decrypts wrongly";
    work->sealed[text.length_bytes + 7] ^= 1;
    return gcm_open(&work->gcm, &text) ? "opens in spite of a wrong tag" : NULL;
}

static const char *check_known(struct work *work, const struct gcm_ops *ops,
                               const struct known *known)
{
    struct gcm_text text = { known_nonce,         known_aad,      known->aad_bytes, work->plain,
                             known->length_bytes, GCM_NO_TRAILER, work->sealed };

    memcpy(work->plain, known_plain, sizeof known_plain);
    gcm_init(&work->gcm, ops, known_key, known->key_bytes);
    gcm_seal(&work->gcm, &text);
    if (memcmp(work->sealed + known->length_bytes, known->tag, sizeof known->tag) != 0)
        return "computes a wrong tag";
    return check_open(work, text);
}

/* The last byte is given as the trailer. */
static const char *check_length(struct work *work, gnutls_aead_cipher_hd_t gnutls,
                                size_t length_bytes)
{
    size_t expected_bytes = sizeof work->expected, last = length_bytes > 0;
    struct gcm_text text = {
        known_nonce, known_aad,           5,
        work->plain, length_bytes - last, last ? work->plain[length_bytes - last] : GCM_NO_TRAILER,
        work->sealed
    };

    if (gnutls_aead_cipher_encrypt(gnutls, known_nonce, sizeof known_nonce, known_aad, 5,
                                   GCM_TAG_BYTES, work->plain, length_bytes, work->expected,
                                   &expected_bytes) < 0)
        return "can't be compared with GnuTLS";
    gcm_seal(&work->gcm, &text);
    if (expected_bytes != length_bytes + GCM_TAG_BYTES ||
        memcmp(work->sealed, work->expected, expected_bytes) != 0)
        return "does not agree with GnuTLS";
    text.length_bytes = length_bytes;
    return check_open(work, text);
}

static const char *check_beside_gnutls(struct work *work, const struct gcm_ops *ops,
                                       size_t key_bytes)
{
    gnutls_datum_t key = { (unsigned char *)(uintptr_t)known_key, (unsigned)key_bytes };
    gnutls_aead_cipher_hd_t gnutls;
    const char *wrong = NULL;

    if (gnutls_aead_cipher_init(
            &gnutls, key_bytes == 16 ? GNUTLS_CIPHER_AES_128_GCM : GNUTLS_CIPHER_AES_256_GCM,
            &key) < 0)
        return "can't be compared with GnuTLS";
    gcm_init(&work->gcm, ops, known_key, key_bytes);
    for (size_t i = 0; i < TEXT_BYTES_MAX; i++)
        work->plain[i] = (uint8_t)(i * 37 + (i >> 8));
    for (size_t i = 0; i < sizeof lengths_bytes / sizeof lengths_bytes[0] && wrong == NULL; i++)
        wrong = check_length(work, gnutls, lengths_bytes[i]);
    gnutls_aead_cipher_deinit(gnutls);
    return wrong;
}

int gcm_selftest(const struct gcm_ops *ops, struct error *err)
{
    struct work *work = malloc(sizeof *work);
    const char *wrong = NULL;

    if (work == NULL)
        return error_no_memory(err, "to test ciphers");
    for (size_t i = 0; i < sizeof knowns / sizeof knowns[0] && wrong == NULL; i++)
        wrong = check_known(work, ops, &knowns[i]);
    for (size_t key_bytes = 16; key_bytes <= 32 && wrong == NULL; key_bytes += 16)
        wrong = check_beside_gnutls(work, ops, key_bytes);
    secret_wipe(&work->gcm, sizeof work->gcm);
    free(work);
    return wrong == NULL ? 0 : error_set(err, -EIO, "it %s", wrong);
}
