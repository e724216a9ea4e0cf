/* The anti-forensic splitter: see luks-af.h. */
#include "crypto/luks/luks-af.h"

#include <errno.h>
#include <string.h>

#include <gcrypt.h>
#include <gnutls/crypto.h>

#include "crypto/gcrypt-library.h"

static void xor_into(uint8_t *out, const uint8_t *in, size_t length_bytes)
{
    for (size_t i = 0; i < length_bytes; i++)
        out[i] ^= in[i];
}

/* Each piece of a digest's length becomes the hash of its number and itself. */
static void diffuse(uint8_t *data, size_t length_bytes, gcry_md_hd_t md, int hash)
{
    size_t digest_bytes = gcry_md_get_algo_dlen(hash);

    for (size_t at = 0; at < length_bytes; at += digest_bytes) {
        size_t now = length_bytes - at < digest_bytes ? length_bytes - at : digest_bytes;
        uint32_t number = (uint32_t)(at / digest_bytes);
        const uint8_t big_endian[] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16),
                                       (uint8_t)(number >> 8), (uint8_t)number };

        gcry_md_reset(md);
        gcry_md_write(md, big_endian, sizeof big_endian);
        gcry_md_write(md, data + at, now);
        memcpy(data + at, gcry_md_read(md, hash), now);
    }
}

/* All stripes but the last, folded into `out`, which has a key's length and is zeros. */
static int fold(struct secret *out, const uint8_t *stripes, size_t count, int hash,
                struct error *err)
{
    size_t key_bytes = out->length_bytes;
    gcry_md_hd_t md;

    gcrypt_library_start();
    if (gcry_md_open(&md, hash, GCRY_MD_FLAG_SECURE) != 0)
        return error_set(err, -ENOMEM, "libgcrypt can't hash the key material");
    for (size_t i = 0; i + 1 < count; i++) {
        xor_into(out->data, stripes + i * key_bytes, key_bytes);
        diffuse(out->data, key_bytes, md, hash);
    }
    gcry_md_close(md);
    return 0;
}

int luks_af_merge(struct secret *key, const uint8_t *stripes, size_t count, int hash,
                  struct error *err)
{
    int result;

    secret_wipe(key->data, key->length_bytes); /* where folding begins */
    result = fold(key, stripes, count, hash, err);
    if (result == 0)
        xor_into(key->data, stripes + (count - 1) * key->length_bytes, key->length_bytes);
    return result;
}

int luks_af_split(uint8_t *stripes, const struct secret *key, size_t count, int hash,
                  struct error *err)
{
    size_t key_bytes = key->length_bytes;
    uint8_t *last = stripes + (count - 1) * key_bytes;
    struct secret *folded;
    int result = secret_create(&folded, key_bytes, err);

    if (result < 0)
        return result;
    if (gnutls_rnd(GNUTLS_RND_KEY, stripes, (count - 1) * key_bytes) < 0)
        result = error_set(err, -EIO, "there are no random numbers for the key material");
    if (result == 0)
        result = fold(folded, stripes, count, hash, err);
    if (result == 0) {
        memcpy(last, key->data, key_bytes);
        xor_into(last, folded->data, key_bytes);
    }
    secret_free(folded);
    return result;
}
