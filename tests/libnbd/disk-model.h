/* What an export must hold, byte for byte, and who is at work on it: what is in flight never
 * overlaps what changes the same bytes, so each answer has one right value. */
#ifndef NBDCRYPT_TEST_DISK_MODEL_H
#define NBDCRYPT_TEST_DISK_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_model {
    uint64_t size_bytes;
    uint8_t *bytes;
    uint8_t *known; /* 0: nobody has read or written the byte; what is read next stays so */
    uint16_t *readers;
    uint8_t *writers; /* at most 1 */
};

void disk_model_init(struct disk_model *model, uint64_t size_bytes);
void disk_model_free(struct disk_model *model);

/* False: something that is in flight is in the way. */
bool disk_model_claim(struct disk_model *model, uint64_t offset_bytes, uint64_t length_bytes,
                      bool writes);
void disk_model_release(struct disk_model *model, uint64_t offset_bytes, uint64_t length_bytes,
                        bool writes);

/* `data` NULL: zeros. */
void disk_model_write(struct disk_model *model, uint64_t offset_bytes, uint64_t length_bytes,
                      const uint8_t *data);
/* It may hold anything, but always the same. */
void disk_model_forget(struct disk_model *model, uint64_t offset_bytes, uint64_t length_bytes);
/* What was read is what must be there.  `data` NULL: zeros. */
bool disk_model_agrees(struct disk_model *model, uint64_t offset_bytes, uint64_t length_bytes,
                       const uint8_t *data, uint64_t *wrong_at);

#endif
