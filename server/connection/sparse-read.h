/* Long reads of which the storage knows where nothing is: holes are told as such, and are not read.
 *
 * Before such a read its extents are asked for.  Those are asked anew for each read: what was a
 * hole once may have been written since, and then zeros would be wrong.  That there is data may be
 * believed for a while, because data may always be told as data: where a look has found no hole
 * there is none for a second, and the next one looks twice as far.  So storage without holes is
 * looked at once a second, and where holes are too small to be told, or there is more data than one
 * look sees, ever more rarely. */
#ifndef NBDCRYPT_SPARSE_READ_H
#define NBDCRYPT_SPARSE_READ_H

#include "server/connection/piece.h"

#define SPARSE_READ_BYTES_MIN 65536u      /* of a read that is looked at */
#define SPARSE_READ_HOLE_BYTES_MIN 16384u /* of a hole that is told */
#define SPARSE_READ_LIST_BYTES 4096u

/* What a connection knows. */
struct sparse_knowledge {
    struct byte_range data; /* in there was no hole ... */
    uint64_t until_ns;      /* ... and is believed to be none until then */
    uint64_t window_bytes;  /* of the next look: a power of two; 0: as much as is read */
    unsigned useless;       /* looks in a row that have found no hole that is worth telling */
    unsigned passed_over;   /* reads since the last look */
};

/* Whether the extents of a READ, which has been checked, should be looked at: of one in structured
 * replies, where there is storage that tells of zeros. */
bool sparse_read_wants_look(struct sparse_knowledge *knowledge, const struct command *command,
                            uint64_t now_ns);
/* What is looked at. */
struct byte_range sparse_read_window(const struct sparse_knowledge *knowledge,
                                     const struct command *command, const struct limits *limits);
/* It was looked at: command->holes are what will be told, and what was found is noted. */
void sparse_read_note(struct sparse_knowledge *knowledge, struct command *command,
                      const struct extent_list *list, uint64_t start_bytes, uint64_t now_ns);
/* Nothing is known: it is read as a whole. */
void sparse_read_note_nothing(struct command *command);

/* What is issued next of a command that was looked at; whether that is a hole. */
bool sparse_read_next(struct piece *out, const struct limits *limits,
                      const struct command *command);

#endif
