/* Numbers of an image, which are big-endian. */
#ifndef NBDCRYPT_QCOW2_BYTES_H
#define NBDCRYPT_QCOW2_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t qcow2_be16(const uint8_t *bytes)
{
    uint16_t value;

    memcpy(&value, bytes, sizeof value);
    return be16toh(value);
}

static inline uint32_t qcow2_be32(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof value);
    return be32toh(value);
}

static inline uint64_t qcow2_be64(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof value);
    return be64toh(value);
}

#endif
