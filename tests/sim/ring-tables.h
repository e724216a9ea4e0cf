/* Descriptors of the simulated world, and what a ring has in its tables: files, and memory. */
#ifndef NBDCRYPT_SIM_RING_TABLES_H
#define NBDCRYPT_SIM_RING_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#define RING_FD_FIRST 1000 /* smaller ones are real */

struct io_uring;

/* A file that can be closed; no ring may hold it then. */
int ring_file_open(void);
unsigned ring_files_open(void);
/* NULL: it is no eventfd.  Fails the simulation where it is not open. */
uint64_t *ring_eventfd_count(int fd);

/* What is in a slot: fails the simulation where there is nothing. */
int ring_table_file(const struct io_uring *ring, int slot);
const void *ring_table_memory(const struct io_uring *ring, unsigned slot);
void ring_tables_go(const struct io_uring *ring);
/* Memory is about to be unmapped. */
void ring_memory_goes(const void *base);

#endif
