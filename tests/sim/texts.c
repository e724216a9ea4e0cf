#include "tests/sim/texts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/sim/trace.h"

#define TEXTS_MAX 32u

static struct text {
    char name[64];
    uint8_t *data; /* NULL: it is gone */
    size_t length_bytes;
} texts[TEXTS_MAX];

static unsigned text_count;

static struct text *find(const char *name)
{
    for (unsigned i = 0; i < text_count; i++)
        if (strcmp(texts[i].name, name) == 0)
            return &texts[i];
    return NULL;
}

void text_put(const char *name, const void *data, size_t length_bytes)
{
    struct text *text = find(name);

    if (text == NULL && text_count == TEXTS_MAX)
        sim_fail("too many small files");
    if (text == NULL) {
        text = &texts[text_count++];
        (void)snprintf(text->name, sizeof(text->name), "%s", name);
    }
    free(text->data);
    text->data = malloc(length_bytes + 1);
    if (text->data == NULL)
        sim_fail("no memory");
    memcpy(text->data, data, length_bytes);
    text->length_bytes = length_bytes;
}

void text_remove(const char *name)
{
    struct text *text = find(name);

    if (text == NULL)
        return;
    free(text->data);
    text->data = NULL;
}

bool text_is_there(const char *name)
{
    const struct text *text = find(name);

    return text != NULL && text->data != NULL;
}

int text_open(const char *name)
{
    const struct text *text = find(name);

    if (text == NULL || text->data == NULL)
        return -1;
    int fd = memfd_create("text", MFD_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0600) != 0 ||
        write(fd, text->data, text->length_bytes) != (ssize_t)text->length_bytes ||
        lseek(fd, 0, SEEK_SET) != 0)
        sim_fail("the small file '%s' can't be opened", name);
    return fd;
}
