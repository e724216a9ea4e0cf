/* AES-GCM for records of TLS: NIST SP 800-38D with nonces of 96 bits and tags of 128.
 *
 * By what gcm-choose.h has chosen.
 *
 * The time and the addresses that are touched depend on lengths only.  One thread at a time for
 * each key. */
#ifndef NBDCRYPT_GCM_H
#define NBDCRYPT_GCM_H

#include "crypto/aes-schedule.h"
#include "server/base/error.h"

#include <stdbool.h>

#define GCM_NONCE_BYTES 12u
#define GCM_TAG_BYTES 16u
#define GCM_NO_TRAILER (-1)

#define GCM_BATCH_BLOCKS_MAX 32u
#define GCM_POWERS_BEHIND 3u /* zeros: what lies behind the last block counts for nothing */

struct gcm_ops;

/* A key; belongs in locked memory, and is wiped by its owner. */
struct gcm {
    const struct gcm_ops *ops;
    unsigned rounds;
    struct aes_schedule schedule;
    /* H^32 ... H^1, each divided by x: see gcm-vaes-kernel.h */
    uint8_t powers[GCM_BATCH_BLOCKS_MAX + GCM_POWERS_BEHIND][AES_BLOCK_BYTES];
};

/* What is to be sealed or opened. */
struct gcm_text {
    const uint8_t *nonce; /* never twice with one key when sealing */
    const uint8_t *aad;   /* authenticated only; short */
    size_t aad_bytes;
    const uint8_t *in;
    size_t length_bytes; /* without the tag */
    int trailer;         /* one more byte of plaintext behind it, or GCM_NO_TRAILER; sealing only */
    uint8_t *out;        /* may be `in`; must not overlap it in any other way */
};

/* What an implementation provides. */
struct gcm_ops {
    const char *name; /* "vaes-avx512" */
    bool (*supports)(void);
    /* From the schedule, which is there. */
    void (*make_powers)(struct gcm *gcm);
    void (*seal)(const struct gcm *gcm, const struct gcm_text *text, uint8_t *tag);
    void (*open)(const struct gcm *gcm, const struct gcm_text *text, uint8_t *tag);
};

/* key_bytes is 16 or 32. */
void gcm_init(struct gcm *gcm, const struct gcm_ops *ops, const uint8_t *key, size_t key_bytes);
/* Writes the ciphertext, with that of the trailer, and the tag behind it. */
void gcm_seal(const struct gcm *gcm, const struct gcm_text *text);
/* The tag lies behind `in`.  False: it is not the right one, and what is in `out` must not be
 * used. */
NODISCARD bool gcm_open(const struct gcm *gcm, const struct gcm_text *text);

#endif
