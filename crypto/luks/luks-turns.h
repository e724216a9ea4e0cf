/* Whose key is derived now, where several headers are opened by threads of one process: as many at
 * a time as there are CPUs, and with Argon2 as many as there is memory for. */
#ifndef NBDCRYPT_LUKS_TURNS_H
#define NBDCRYPT_LUKS_TURNS_H

#include <stdbool.h>
#include <stdint.h>

/* At most so many derivations at a time, with so much memory together.  One that needs more than
 * that waits until it is alone.  Before there are threads; as long as nobody calls it, there is one
 * at a time. */
void luks_turns_allow(unsigned derivations_max, uint64_t memory_max_bytes);

struct luks_turn {
    uint64_t memory_bytes;
    bool shared; /* others may derive beside it */
};

/* Blocks until there is room. */
void luks_turns_begin(struct luks_turn *turn, uint64_t memory_bytes);
/* The same, until there is nobody else; nobody else begins before it ends. */
void luks_turns_begin_alone(struct luks_turn *turn, uint64_t memory_bytes);
void luks_turns_end(struct luks_turn *turn);

#endif
