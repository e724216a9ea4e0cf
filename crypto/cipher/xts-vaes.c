/* The keyed state of the AES-XTS kernels: see xts-vaes.h. */
#include "crypto/cipher/xts-vaes.h"

#if defined(__x86_64__)

#include <assert.h>

static_assert(sizeof(struct xts_vaes) <= 4096, "one locked page for each cipher");

/* The first half of the key is for the data, the second for the tweaks (IEEE Std 1619-2018,
 * 5.1). */
int xts_vaes_create(struct cipher **out, const struct cipher_ops *ops, const struct secret *key,
                    uint32_t sector_bytes, struct error *err)
{
    size_t half_bytes = key->length_bytes / 2;
    struct secret *memory;
    struct xts_vaes *xts;
    int result = secret_create(&memory, sizeof *xts, err);

    if (result < 0)
        return result;
    xts = (struct xts_vaes *)(void *)memory->data;
    xts->cipher.ops = ops;
    xts->cipher.sector_bytes = sector_bytes;
    xts->memory = memory;
    xts->rounds = aes_rounds(half_bytes);
    aes_schedule_encrypt(&xts->encrypt, key->data, half_bytes);
    aes_schedule_decrypt(&xts->decrypt, &xts->encrypt, xts->rounds);
    aes_schedule_encrypt(&xts->tweak, key->data + half_bytes, half_bytes);
    *out = &xts->cipher;
    return 0;
}

void xts_vaes_destroy(struct cipher *cipher)
{
    struct xts_vaes *xts = (struct xts_vaes *)cipher;

    secret_free(xts->memory);
}

#endif
