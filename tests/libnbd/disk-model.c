#include "tests/libnbd/disk-model.h"

#include <stdlib.h>
#include <string.h>

static void *zeroed(uint64_t count, size_t each_bytes)
{
    void *memory = calloc(count, each_bytes);

    if (memory == NULL)
        abort();
    return memory;
}

void disk_model_init(struct disk_model *model, uint64_t size_bytes)
{
    *model = (struct disk_model){
        .size_bytes = size_bytes,
        .bytes = zeroed(size_bytes, 1),
        .known = zeroed(size_bytes, 1),
        .readers = zeroed(size_bytes, sizeof *model->readers),
        .writers = zeroed(size_bytes, 1),
    };
}

void disk_model_free(struct disk_model *model)
{
    free(model->bytes);
    free(model->known);
    free(model->readers);
    free(model->writers);
}

bool disk_model_claim(struct disk_model *model, uint64_t offset_bytes, uint64_t length_bytes,
                      bool writes)
{
    for (uint64_t i = offset_bytes; i < offset_bytes + length_bytes; i++)
        if (model->writers[i] != 0 || (writes && model->readers[i] != 0))
            return false;
    for (uint64_t i = offset_bytes; i < offset_bytes + length_bytes; i++) {
        if (writes)
            model->writers[i] = 1;
        else
            model->readers[i]++;
    }
    return true;
}

void disk_model_release(struct disk_model *model, uint64_t offset_bytes, uint64_t length_bytes,
                        bool writes)
{
    for (uint64_t i = offset_bytes; i < offset_bytes + length_bytes; i++) {
        if (writes)
            model->writers[i] = 0;
        else
            model->readers[i]--;
    }
}

void disk_model_write(struct disk_model *model, uint64_t offset_bytes, uint64_t length_bytes,
                      const uint8_t *data)
{
    if (data != NULL)
        memcpy(model->bytes + offset_bytes, data, length_bytes);
    else
        memset(model->bytes + offset_bytes, 0, length_bytes);
    memset(model->known + offset_bytes, 1, length_bytes);
}

void disk_model_forget(struct disk_model *model, uint64_t offset_bytes, uint64_t length_bytes)
{
    memset(model->known + offset_bytes, 0, length_bytes);
}

bool disk_model_agrees(struct disk_model *model, uint64_t offset_bytes, uint64_t length_bytes,
                       const uint8_t *data, uint64_t *wrong_at)
{
    for (uint64_t i = 0; i < length_bytes; i++) {
        uint8_t byte = data != NULL ? data[i] : 0;
        uint64_t at = offset_bytes + i;

        if (model->known[at] && model->bytes[at] != byte) {
            *wrong_at = at;
            return false;
        }
        model->bytes[at] = byte;
        model->known[at] = 1;
    }
    return true;
}
