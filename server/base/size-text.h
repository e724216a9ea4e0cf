/* Sizes for people: "268435456 bytes (256 MiB)". */
#ifndef NBDCRYPT_SIZE_TEXT_H
#define NBDCRYPT_SIZE_TEXT_H

#include <stdint.h>

struct size_text {
    char text[64];
};

/* The exact number, and one rounded down in the largest unit that gives at least 1. */
struct size_text size_text(uint64_t bytes);

#endif
