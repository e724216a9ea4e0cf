/* What the cluster says of an image while it is served: that it is still there, and its size.
 *
 * librbd does not notice that an image is removed under it: it takes what is missing for holes, and
 * answers zeros.  It hears that the image was cut only where it has it open for writing.  So the
 * header is looked at
 *
 *     once a second      while there are requests
 *     when told          that something has changed (rbd_update_watch)
 *     for zeros          which are not answered before a look that began after they came: they may
 * be what is left of the image.  All that wait share the next look
 *
 *      rbd_header_confirm -> waiting --- a look begins ---> asked --- it is answered ---> loop_post
 *
 * `rbd rm` refuses to remove what somebody has open for writing.  What is open for reading alone it
 * moves to the trash first, removes its data and then its header: so an image that is open for
 * reading is looked for in the trash as well. */
#ifndef NBDCRYPT_RBD_HEADER_H
#define NBDCRYPT_RBD_HEADER_H

#include <pthread.h>
#include <stdatomic.h>

#include "plugins/rbd/rbd-disk.h"
#include "server/loop/offload.h"

/* One question to the cluster; its answer stays here. */
struct rbd_question {
    struct rbd_header *header;
    uint8_t argument[160]; /* as the cluster wants it */
    size_t argument_bytes;
    int code; /* of the answer: its length, or -errno */
};

struct rbd_header {
    const struct rbd_disk *disk;
    char object[sizeof "rbd_header." + RBD_ID_BYTES];
    struct rbd_question size, trash;
    bool asks_trash;
    char size_answer[16];

    atomic_uint_fast64_t size_bytes; /* what it has now; the disk keeps what it had */
    atomic_bool gone;
    atomic_uint_fast64_t looked_ms;
    atomic_uint unanswered; /* questions of the look that is under way */

    pthread_mutex_t lock; /* for what follows */
    bool looking, look_again;
    struct offload_job *waiting, *asked;
};

/* Of an open image, which outlives it. */
void rbd_header_init(struct rbd_header *header, const struct rbd_disk *disk);
/* Nothing waits.  Returns when the last answer has come. */
void rbd_header_close(struct rbd_header *header);

/* Any thread.  Asks, and does not wait for the answer. */
void rbd_header_look(struct rbd_header *header);

/* Any thread, before each request: false when the image is known to have been removed.  Looks now
 * and then. */
bool rbd_header_is_there(struct rbd_header *header);

/* Any thread: has job->done posted to job->loop when a look that began after this call was
 * answered. done.result: 0 (then the size is what it was at that time, too), -ENOENT when the image
 * was removed, or the -errno for which that is not known. */
void rbd_header_confirm(struct rbd_header *header, struct offload_job *job);

#endif
