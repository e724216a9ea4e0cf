/* Names of hashes: see luks-hash.h. */
#include "crypto/luks/luks-hash.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <gcrypt.h>

#include "crypto/luks/luks-quote.h"

/* As libcryptsetup names them, whatever library it is built on. */
static const struct {
    const char *name;
    int number;
} hashes[] = {
    { "sha1", GCRY_MD_SHA1 },
    { "sha224", GCRY_MD_SHA224 },
    { "sha256", GCRY_MD_SHA256 },
    { "sha384", GCRY_MD_SHA384 },
    { "sha512", GCRY_MD_SHA512 },
    { "sha512-256", GCRY_MD_SHA512_256 },
    { "sha3-224", GCRY_MD_SHA3_224 },
    { "sha3-256", GCRY_MD_SHA3_256 },
    { "sha3-384", GCRY_MD_SHA3_384 },
    { "sha3-512", GCRY_MD_SHA3_512 },
    { "blake2b-512", GCRY_MD_BLAKE2B_512 },
    { "blake2s-256", GCRY_MD_BLAKE2S_256 },
    { "ripemd160", GCRY_MD_RMD160 },
    { "whirlpool", GCRY_MD_WHIRLPOOL },
    { "sm3", GCRY_MD_SM3 },
};

#define HASH_COUNT (sizeof hashes / sizeof hashes[0])

int luks_hash_number(int *out, const char *name, struct error *err)
{
    char list[256] = "";
    size_t used = 0;

    for (size_t i = 0; i < HASH_COUNT; i++)
        if (strcmp(name, hashes[i].name) == 0) {
            *out = hashes[i].number;
            return 0;
        }
    for (size_t i = 0; i < HASH_COUNT && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "",
                                 hashes[i].name);
    return error_set(err, -ENOTSUP, "hash '%s' is not supported (supported: %s)",
                     luks_quote(name, strlen(name)).text, list);
}
