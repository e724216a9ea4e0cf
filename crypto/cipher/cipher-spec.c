/* Names of ciphers: see cipher-spec.h. */
#include "crypto/cipher/cipher-spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PLAIN_BYTES_MAX (UINT64_C(1) << 41) /* 2^32 sectors of 512 bytes */
#define SUPPORTED                                                                            \
    "supported: aes, serpent, twofish and camellia, in the modes xts and cbc, with the IVs " \
    "plain64, plain, plain64be and essiv:sha256"

struct name {
    const char *text;
    int value;
};

static const struct name algorithms[] = {
    { "aes", CIPHER_AES },
    { "serpent", CIPHER_SERPENT },
    { "twofish", CIPHER_TWOFISH },
    { "camellia", CIPHER_CAMELLIA },
    { NULL, 0 },
};

static const struct name modes[] = {
    { "xts", CIPHER_XTS },
    { "cbc", CIPHER_CBC },
    { NULL, 0 },
};

static const struct name ivs[] = {
    { "plain64", CIPHER_IV_PLAIN64 },
    { "plain", CIPHER_IV_PLAIN },
    { "plain64be", CIPHER_IV_PLAIN64BE },
    { "essiv:sha256", CIPHER_IV_ESSIV },
    { NULL, 0 },
};

/* Takes the word at *text, which ends at a '-' or at the end, and steps over it.  -1: unknown. */
static int take(const char **text, const struct name *names)
{
    size_t length = names == ivs ? strlen(*text) : strcspn(*text, "-");

    for (; names->text; names++) {
        if (strlen(names->text) != length || strncmp(*text, names->text, length) != 0)
            continue;
        *text += length + ((*text)[length] == '-');
        return names->value;
    }
    return -1;
}

static int parse_name(struct cipher_spec *out, const char *name)
{
    int algorithm = take(&name, algorithms);
    int mode = algorithm < 0 ? -1 : take(&name, modes);
    int iv = mode < 0 ? -1 : take(&name, ivs);

    if (iv < 0)
        return -EINVAL;
    out->algorithm = (enum cipher_algorithm)algorithm;
    out->mode = (enum cipher_mode)mode;
    out->iv = (enum cipher_iv)iv;
    return 0;
}

int cipher_spec_parse(struct cipher_spec *out, const char *name, unsigned key_bits,
                      struct error *err)
{
    unsigned block_key_bits;

    if (strstr(name, "null"))
        return error_set(err, -EINVAL,
                         "cipher '%s' leaves the data unencrypted; null ciphers are always refused",
                         name);
    *out = (struct cipher_spec){ .key_bits = key_bits };
    if (parse_name(out, name) < 0)
        return error_set(err, -EINVAL, "cipher '%s' is not supported (%s)", name, SUPPORTED);
    block_key_bits = cipher_spec_block_key_bits(out);
    if (block_key_bits != 128 && block_key_bits != 192 && block_key_bits != 256)
        return error_set(err, -EINVAL, "cipher '%s' does not take a key of %u bits (supported: %s)",
                         name, key_bits,
                         out->mode == CIPHER_XTS ? "256, 384 and 512" : "128, 192 and 256");
    (void)snprintf(out->name, sizeof out->name, "%s", name);
    return 0;
}

unsigned cipher_spec_block_key_bits(const struct cipher_spec *spec)
{
    return spec->mode == CIPHER_XTS ? spec->key_bits / 2 : spec->key_bits;
}

bool cipher_spec_is_plain_aes_xts(const struct cipher_spec *spec)
{
    return spec->algorithm == CIPHER_AES && spec->mode == CIPHER_XTS &&
           (spec->iv == CIPHER_IV_PLAIN64 || spec->iv == CIPHER_IV_PLAIN) &&
           (spec->key_bits == 256 || spec->key_bits == 512);
}

unsigned cipher_spec_default_key_bits(const char *name)
{
    return strstr(name, "-xts-") ? 512 : 256;
}

const char *cipher_spec_weakness(const struct cipher_spec *spec, uint64_t payload_bytes)
{
    if (spec->mode == CIPHER_CBC && spec->iv != CIPHER_IV_ESSIV)
        return "has IVs that can be predicted: whoever can have data stored on the volume can mark "
               "it so that it is recognised in the ciphertext; cbc-essiv:sha256 does not have that "
               "weakness, and xts-plain64 is better still";
    if (spec->iv == CIPHER_IV_PLAIN && payload_bytes > PLAIN_BYTES_MAX)
        return "counts sectors with 32 bits, so that IVs repeat beyond 2 TiB; take plain64";
    return NULL;
}
