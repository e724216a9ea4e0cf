/* Any bytes as a LUKS header: they may be refused, and nothing else may happen.
 *
 * The first byte chooses: LUKS1 bytes, LUKS2 JSON text, or a whole image up to the choice of a
 * header copy.  With clang:  -fsanitize=fuzzer,address,undefined */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/luks/luks1-policy.h"
#include "crypto/luks/luks2-binary.h"
#include "crypto/luks/luks2-json.h"
#include "crypto/luks/luks2-policy.h"

#define IMAGE_BYTES (64ull * 1024u * 1024u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

/* What an accepted header promises to the rest of the program. */
static void check_promises(const struct luks_segment *segment, const struct luks_areas *areas,
                           const struct luks_sizes *sizes)
{
    bool whole = segment->payload_bytes % segment->sector_bytes == 0;

    if (segment->payload_bytes == 0 || !whole ||
        segment->payload_bytes > sizes->data_bytes - segment->payload_offset_bytes)
        abort();
    for (unsigned i = 0; i < areas->count; i++)
        if (areas->items[i].length_bytes > sizes->header_bytes ||
            areas->items[i].offset_bytes > sizes->header_bytes - areas->items[i].length_bytes)
            abort();
}

static void fuzz_luks1(const struct input *input, const struct luks_sizes *sizes)
{
    uint8_t bytes[LUKS1_HEADER_BYTES] = { 0 };
    struct luks1_header header;
    struct luks_segment segment;
    struct luks_areas areas;

    memcpy(bytes, input->data, input->size < sizeof bytes ? input->size : sizeof bytes);
    if (luks1_policy_parse(&header, bytes, NULL) == 0 &&
        luks1_policy_check(&segment, &areas, &header, sizes, NULL) == 0)
        check_promises(&segment, &areas, sizes);
}

static void fuzz_luks2(const struct input *input, const struct luks_sizes *sizes)
{
    struct json_object *root = NULL;
    struct luks_segment segment;
    struct luks_areas areas;
    char *text = malloc(input->size + 1);

    if (text == NULL)
        return;
    memcpy(text, input->data, input->size);
    text[input->size] = '\0';
    if (luks2_json_parse(&root, text, input->size + 1, NULL) == 0 &&
        luks2_policy_check(&segment, &areas, root, LUKS2_COPY_BYTES_MIN, sizes, NULL) == 0)
        check_promises(&segment, &areas, sizes);
    json_object_put(root);
    free(text);
}

static int read_input(void *context, uint64_t offset_bytes, void *out, size_t length_bytes,
                      struct error *err)
{
    const struct input *input = context;

    if (offset_bytes > input->size || length_bytes > input->size - offset_bytes)
        abort(); /* asked for what is behind the end */
    memcpy(out, input->data + offset_bytes, length_bytes);
    return error_set(err, 0, "%s", "");
}

static void fuzz_copies(struct input *input)
{
    struct luks2_copies copies;

    if (luks2_copies_read(&copies, read_input, input, input->size, NULL, NULL) == 0)
        luks2_copies_free(&copies);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct luks_sizes sizes = { .header_bytes = IMAGE_BYTES, .data_bytes = IMAGE_BYTES };
    struct input input = { .data = data + 1, .size = size - 1 };

    if (size == 0)
        return 0;
    sizes.detached = (data[0] & 4) != 0;
    if (data[0] % 4 == 0)
        fuzz_luks1(&input, &sizes);
    else if (data[0] % 4 == 1)
        fuzz_copies(&input);
    else
        fuzz_luks2(&input, &sizes);
    return 0;
}
