/* Names of ciphers as LUKS and dm-crypt write them: "aes-xts-plain64",
 * "serpent-cbc-essiv:sha256". */
#ifndef NBDCRYPT_CIPHER_SPEC_H
#define NBDCRYPT_CIPHER_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/error.h"

enum cipher_algorithm { CIPHER_AES, CIPHER_SERPENT, CIPHER_TWOFISH, CIPHER_CAMELLIA };
#define CIPHER_ALGORITHMS 4
enum cipher_mode { CIPHER_XTS, CIPHER_CBC };

/* How the number of a sector becomes its IV (kernel, drivers/md/dm-crypt.c, "Different IV
 * generation algorithms").  Numbers count units of 512 bytes. */
enum cipher_iv {
    CIPHER_IV_PLAIN64,   /* 64 bits, little-endian, then zeros */
    CIPHER_IV_PLAIN,     /* its lower 32 bits only: it begins anew after 2 TiB */
    CIPHER_IV_PLAIN64BE, /* zeros, then 64 bits, big-endian */
    CIPHER_IV_ESSIV,     /* plain64, encrypted with the SHA-256 of the key by the same cipher */
};

struct cipher_spec {
    char name[80];     /* the whole: "aes-xts-plain64" */
    unsigned key_bits; /* of the volume key; XTS takes two keys: 512 for AES-256 */
    enum cipher_algorithm algorithm;
    enum cipher_mode mode;
    enum cipher_iv iv;
};

/* Those that people choose, for the completion of shells. */
#define CIPHER_SPEC_CHOICES                                                              \
    "aes-xts-plain64|aes-cbc-essiv:sha256|serpent-xts-plain64|serpent-cbc-essiv:sha256|" \
    "twofish-xts-plain64|twofish-cbc-essiv:sha256|camellia-xts-plain64|"                 \
    "camellia-cbc-essiv:sha256"

/* All combinations of the above, with 128, 192 and 256 bits for each key.  -EINVAL names the
 * cipher and lists what is supported; null ciphers are refused with a sentence of their own. */
NODISCARD int cipher_spec_parse(struct cipher_spec *out, const char *name, unsigned key_bits,
                                struct error *err);

/* Of one key of the block cipher: half the volume key for XTS. */
unsigned cipher_spec_block_key_bits(const struct cipher_spec *spec);

/* AES-XTS with 128 or 256 bits and the sector's number as the IV: what most volumes are. */
bool cipher_spec_is_plain_aes_xts(const struct cipher_spec *spec);

/* What cryptsetup takes when no size is given: 512 for XTS, else 256.  Any name. */
unsigned cipher_spec_default_key_bits(const char *name);

/* What a person who makes a volume of this size with it should know, as the end of a sentence that
 * begins with the cipher's name; NULL: nothing. */
const char *cipher_spec_weakness(const struct cipher_spec *spec, uint64_t payload_bytes);

#endif
