/* Memory for ciphertext on its way, of one worker.
 *
 * A connection has such a buffer only while a send is in flight, or while more than a little has
 * been received.  Large ones make long sends and receives; there is a fixed number of them, kept
 * for reuse, and when all are taken there are small ones, in which one record fits.  So a worker
 * holds at most TLS_BUFFERS_LARGE_MAX large ones, and two small ones for each connection, and keeps
 * a few of both.  What clients wrote does not stay in memory that others get. */
#ifndef NBDCRYPT_TLS_BUFFER_H
#define NBDCRYPT_TLS_BUFFER_H

#include <stdbool.h>
#include <stdint.h>

/* RFC 8446, 5.2 and RFC 5246, 6.2.3: at most 2^14 bytes of plaintext, 2048 more once encrypted. */
#define TLS_RECORD_PLAIN_BYTES 16384u
#define TLS_RECORD_BYTES_MAX (5u + TLS_RECORD_PLAIN_BYTES + 2048u)

#define TLS_BUFFER_SMALL_BYTES (TLS_RECORD_BYTES_MAX + 1024u) /* a record, and a key update */
#define TLS_BUFFER_LARGE_BYTES (272u * 1024u)                 /* 256 KiB in records */
#define TLS_BUFFERS_LARGE_MAX 64u
#define TLS_BUFFERS_KEPT_MAX 8u

struct tls_buffer {
    struct tls_buffer *next; /* while it is kept */
    uint32_t capacity_bytes;
    uint32_t start, end; /* what is in it */
    bool opened;         /* since it was wiped, records of it may have been opened in it */
    uint8_t bytes[];
};

/* Zeroed is empty. */
struct tls_buffers {
    struct tls_buffer *kept, *kept_small;
    unsigned kept_count, large_count; /* large ones: kept, and all that there are */
    unsigned kept_small_count;
    uint8_t together[TLS_RECORD_PLAIN_BYTES]; /* of pieces of a reply, those of the last record */
};

/* An empty one: large when that is wanted and one may be had, else small.  NULL: no memory.
 * `buffers` is NULL, here and in tls_buffer_release(), when a transport that has left its thread
 * says goodbye: it is a small one then. */
struct tls_buffer *tls_buffer_acquire(struct tls_buffers *buffers, bool large);
/* NULL is fine. */
void tls_buffer_release(struct tls_buffers *buffers, struct tls_buffer *buffer);
/* Wipes what is kept, and `together`. */
void tls_buffers_scrub(struct tls_buffers *buffers);
/* The same, and frees what is kept; everything must have been given back. */
void tls_buffers_free(struct tls_buffers *buffers);

#endif
