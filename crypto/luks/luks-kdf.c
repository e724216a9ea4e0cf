/* Key derivation: see luks-kdf.h. */
#include "crypto/luks/luks-kdf.h"

#include <errno.h>

#include <gcrypt.h>

#include "crypto/gcrypt-library.h"

static gcry_error_t derive_argon2(struct secret *out, const struct luks_kdf *kdf,
                                  const struct secret *from)
{
    const unsigned long params[] = { out->length_bytes, kdf->iterations, kdf->memory_kib,
                                     kdf->lanes };
    int variant = kdf->type == LUKS_KDF_ARGON2I ? GCRY_KDF_ARGON2I : GCRY_KDF_ARGON2ID;
    gcry_kdf_hd_t handle;
    gcry_error_t result =
        gcry_kdf_open(&handle, GCRY_KDF_ARGON2, variant, params, 4, from->data, from->length_bytes,
                      kdf->salt, kdf->salt_bytes, NULL, 0, NULL, 0);

    if (result != 0)
        return result;
    result = gcry_kdf_compute(handle, NULL);
    if (result == 0)
        result = gcry_kdf_final(handle, out->length_bytes, out->data);
    gcry_kdf_close(handle);
    return result;
}

int luks_kdf_derive(struct secret **out, size_t length_bytes, const struct luks_kdf *kdf,
                    const struct secret *from, struct error *err)
{
    struct secret *derived;
    gcry_error_t failed;
    int result = secret_create(&derived, length_bytes, err);

    if (result < 0)
        return result;
    gcrypt_library_start();
    if (kdf->type == LUKS_KDF_PBKDF2)
        failed =
            gcry_kdf_derive(from->data, from->length_bytes, GCRY_KDF_PBKDF2, kdf->hash, kdf->salt,
                            kdf->salt_bytes, kdf->iterations, length_bytes, derived->data);
    else
        failed = derive_argon2(derived, kdf, from);
    if (failed == 0) {
        *out = derived;
        return 0;
    }
    secret_free(derived);
    return error_set(err, gcry_err_code(failed) == GPG_ERR_ENOMEM ? -ENOMEM : -ENOTSUP,
                     "libgcrypt can't derive the key: %s", gcry_strerror(failed));
}
