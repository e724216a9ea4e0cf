/* Descriptors of the simulated world, from SIM_FD_FIRST on: images by the name of a disk, with
 * locks of their own, and sockets.  Smaller ones are real. */
#ifndef NBDCRYPT_SIM_FILES_H
#define NBDCRYPT_SIM_FILES_H

#include <stdbool.h>

#define SIM_FD_FIRST (1 << 20)
#define SIM_FOLDER "/sim/" /* where images are */

struct disk;
struct endpoint;

struct disk *file_disk(int fd);         /* NULL: it is no image */
struct endpoint *file_endpoint(int fd); /* NULL: it is no socket */
/* Whether a sync of this disk has failed since it was opened, for this descriptor or another one,
 * and it was not told yet: each is told once.  `fails`: one fails now, and it is told. */
bool file_sync_fails(int fd, bool fails);
/* NULL: a socket that is not connected yet. */
int file_of_endpoint(struct endpoint *endpoint, unsigned host);
void file_connects(int fd, struct endpoint *endpoint);
/* What a killed host had open is closed. */
void files_close_all(unsigned host);
unsigned files_open_count(unsigned host);

#endif
