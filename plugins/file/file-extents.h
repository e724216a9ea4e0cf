/* Where a file has data, and where holes. */
#ifndef NBDCRYPT_FILE_EXTENTS_H
#define NBDCRYPT_FILE_EXTENTS_H

#include "server/block/request.h"

/* Answers a REQUEST_EXTENTS of a file_stage that has an offload pool: lseek() may read metadata
 * from the disk, so it runs off the loop, unless a hole is known to be there (file-hole.h). */
void file_extents_start(struct request *req);

#endif
