#include "crypto/luks/luks-material.h"

#include "crypto/cipher/cipher.h"
#include "crypto/luks/cryptsetup-library.h"
#include "crypto/luks/luks-store.h"

#define SECTOR_BYTES 512u

size_t luks_material_bytes(size_t key_bytes)
{
    return (key_bytes * LUKS_AF_STRIPES + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;
}

int luks_material_write(int image_fd, const struct luks_own_keyslot *slot, const struct secret *key,
                        struct secret *stripes, struct error *err)
{
    struct cipher *cipher;
    int result = cipher_create(&cipher, &slot->cipher, key, SECTOR_BYTES, err);

    if (result < 0)
        return result;
    cipher_encrypt(cipher, 0, stripes->data, stripes->length_bytes);
    cipher_destroy(cipher);
    return cryptsetup_image_write(image_fd, slot->offset_bytes, stripes->data,
                                  stripes->length_bytes, err);
}

int luks_material_read(struct secret *stripes, int image_fd, const struct luks_own_keyslot *slot,
                       const struct secret *key, struct error *err)
{
    struct cipher *cipher;
    int result = luks_store_read_memory(&image_fd, slot->offset_bytes, stripes->data,
                                        stripes->length_bytes, err);

    if (result == 0)
        result = cipher_create(&cipher, &slot->cipher, key, SECTOR_BYTES, err);
    if (result != 0)
        return result;
    cipher_decrypt(cipher, 0, stripes->data, stripes->length_bytes);
    cipher_destroy(cipher);
    return 0;
}
