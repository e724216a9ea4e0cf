#include "crypto/gcm/gcm.h"

#include <assert.h>
#include <string.h>

void gcm_init(struct gcm *gcm, const struct gcm_ops *ops, const uint8_t *key, size_t key_bytes)
{
    memset(gcm, 0, sizeof *gcm);
    gcm->ops = ops;
    gcm->rounds = aes_rounds(key_bytes);
#if defined(__x86_64__)
    aes_schedule_encrypt(&gcm->schedule, key, key_bytes);
#else
    (void)key;
#endif
    ops->make_powers(gcm);
}

void gcm_seal(const struct gcm *gcm, const struct gcm_text *text)
{
    size_t sealed_bytes = text->length_bytes + (text->trailer >= 0);

    gcm->ops->seal(gcm, text, text->out + sealed_bytes);
}

bool gcm_open(const struct gcm *gcm, const struct gcm_text *text)
{
    uint8_t received[GCM_TAG_BYTES], tag[GCM_TAG_BYTES];
    unsigned difference = 0;

    assert(text->trailer == GCM_NO_TRAILER);
    memcpy(received, text->in + text->length_bytes, sizeof received);
    gcm->ops->open(gcm, text, tag);
    for (size_t i = 0; i < sizeof tag; i++)
        difference |= (unsigned)(received[i] ^ tag[i]);
    return difference == 0;
}
