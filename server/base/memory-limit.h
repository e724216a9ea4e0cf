/* How much memory this process may use. */
#ifndef NBDCRYPT_MEMORY_LIMIT_H
#define NBDCRYPT_MEMORY_LIMIT_H

#include <stdint.h>

/* The least of the memory of this machine and the limits of the cgroups that this process is in
 * (versions 1 and 2, see cgroups(7); memory.max and memory.limit_in_bytes, up to the root). 0: it
 * is not known. Blocks; at the start. */
uint64_t memory_limit_bytes(void);

/* What is left of it now: of the machine by MemAvailable (proc_meminfo(5)), of each cgroup by what
 * it uses, page cache included, which is more than it needs.  0: it is not known, or nothing.
 * Blocks; at the start. */
uint64_t memory_limit_available_bytes(void);

#endif
