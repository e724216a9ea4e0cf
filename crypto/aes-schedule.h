/* The key schedule of AES for kernels that use the processor's AES instructions. */
#ifndef NBDCRYPT_AES_SCHEDULE_H
#define NBDCRYPT_AES_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#define AES_BLOCK_BYTES 16u
#define AES_ROUND_KEYS_MAX 15u

/* The round keys in the order in which they are used. */
struct aes_schedule {
    uint8_t round_keys[AES_ROUND_KEYS_MAX][AES_BLOCK_BYTES];
};

/* Rounds of a key of this length: 10 or 14.  There are round keys 0 to rounds. */
unsigned aes_rounds(size_t key_bytes);
/* key_bytes is 16 or 32.  Leaves no copy of the key but `out`, which belongs in locked memory.
 * Needs AES-NI; takes the same time for all keys. */
void aes_schedule_encrypt(struct aes_schedule *out, const uint8_t *key, size_t key_bytes);
/* The schedule of the equivalent inverse cipher (FIPS 197, 5.3.5), which is what the instructions
 * for decryption want. */
void aes_schedule_decrypt(struct aes_schedule *out, const struct aes_schedule *encrypt,
                          unsigned rounds);

#endif
