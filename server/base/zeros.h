/* Memory that is all zeros: what was never written, or is not there any more. */
#ifndef NBDCRYPT_ZEROS_H
#define NBDCRYPT_ZEROS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The first byte decides nearly always; the rest are zeros when each equals its predecessor. */
static inline bool zeros_only(const uint8_t *data, size_t length_bytes)
{
    return length_bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, length_bytes - 1) == 0);
}

#endif
