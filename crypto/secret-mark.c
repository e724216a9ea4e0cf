#include "crypto/secret-mark.h"

#include <errno.h>
#include <gcrypt.h>
#include <string.h>

static int digest(uint8_t out[SECRET_MARK_BYTES], const struct secret_mark *mark,
                  const struct secret *secret)
{
    gcry_buffer_t parts[] = {
        { .data = (void *)(uintptr_t)mark->key, .len = sizeof mark->key },
        { .data = secret->data, .len = secret->length_bytes },
    };

    return gcry_md_hash_buffers(GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC, out, parts,
                                sizeof parts / sizeof parts[0]) == 0
               ? 0
               : -EIO;
}

int secret_mark_make(struct secret_mark *out, const struct secret *secret, struct error *err)
{
    gcry_create_nonce(out->key, sizeof out->key);
    int result = digest(out->digest, out, secret);

    return result == 0 ? 0 : error_set(err, result, "libgcrypt can't make a digest of a key");
}

bool secret_mark_fits(const struct secret_mark *mark, const struct secret *secret)
{
    uint8_t now[SECRET_MARK_BYTES];
    uint8_t differs = 0;

    if (digest(now, mark, secret) < 0)
        return false;
    for (size_t i = 0; i < sizeof now; i++)
        differs |= now[i] ^ mark->digest[i];
    return differs == 0;
}
