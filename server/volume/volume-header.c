#include "server/volume/volume-header.h"

#include <errno.h>

#include "server/block/image.h"

static int read_image(void *io, uint64_t offset_bytes, void *out, size_t length_bytes,
                      struct error *err)
{
    return image_io_read(io, offset_bytes, out, length_bytes, err);
}

static int write_image(void *io, uint64_t offset_bytes, const void *data, size_t length_bytes,
                       struct error *err)
{
    return image_io_write(io, offset_bytes, data, length_bytes, err);
}

static int flush_image(void *io, struct error *err)
{
    return image_io_flush(io, err);
}

struct luks_store volume_header_store(struct image_io *io)
{
    return (struct luks_store){
        .read = read_image, .write = write_image, .flush = flush_image, .context = io
    };
}

int volume_header_signature(struct format_signature *out, enum format_signature_scope scope,
                            struct image_io *io, uint64_t size_bytes, struct error *err)
{
    return format_signature_find(out, scope, read_image, io, size_bytes, err);
}

int volume_header_load_from(struct luks_header **out, struct image_io *io, uint64_t size_bytes,
                            uint64_t data_bytes, bool detached, struct format_signature *content,
                            struct error *err)
{
    int result = luks_load(out, read_image, io, size_bytes, data_bytes, detached, err);

    if (content) {
        *content = (struct format_signature){ .text = "" };
        if (result == -EMEDIUMTYPE &&
            volume_header_signature(content, FORMAT_SIGNATURE_ANY, io, size_bytes, NULL) < 0)
            *content = (struct format_signature){ .text = "" };
    }
    return result;
}

static const char *advise(const struct format_signature *content, enum luks_image_use use)
{
    if (content->partitions)
        return "; a partition of it is named by ?partition=N behind the image";
    if (content->qcow2)
        return "; with ?format=qcow2 behind its name the disk in it is read";
    if (content->disk_image)
        return "; volumes are raw images (qemu-img convert -O raw)";
    if (content->blank && use == LUKS_IMAGE_OF_HEADER)
        return "";
    if (content->blank)
        return "; nbdcrypt format makes an encrypted disk of it (if its header is apart, name it "
               "by "
               "--header)";
    if (use == LUKS_IMAGE_SERVED)
        return "; is it the right one? (as it is, without encryption, it is served by --raw)";
    return "";
}

void volume_header_tell_content(const struct format_signature *content, enum luks_image_use use,
                                struct error *err)
{
    const char *advice = advise(content, use);

    if (err == NULL)
        return;
    if (content->text[0] != '\0')
        (void)error_set(err, 0, "%s: it holds %s%s", err->text, content->text, advice);
    else if (content->blank)
        (void)error_set(err, 0, "%s: it is blank%s", err->text, advice);
    else if (use != LUKS_IMAGE_OF_HEADER)
        (void)error_set(err, 0, "%s: if the header is apart, name it by --header%s", err->text,
                        advice);
}

/* `source` is where the header is; `data_bytes` of the image that holds the data. */
static int load(struct luks_header **out, struct stage *source, uint64_t data_bytes, bool detached,
                struct format_signature *content, struct error *err)
{
    struct image_io *io;
    int result = image_io_create(&io, source, err);

    if (result < 0)
        return result;
    result = volume_header_load_from(out, io, source->limits.size_bytes, data_bytes, detached,
                                     content, err);
    image_io_destroy(io);
    return result;
}

int volume_header_load_detached(struct luks_header **out, struct stage *header,
                                const char *header_spec, uint64_t data_bytes,
                                struct format_signature *content, struct error *err)
{
    int result = load(out, header, data_bytes, true, content, err);

    if (result < 0)
        error_prefix(err, "header '%s': ", header_spec);
    return result;
}

int luks_image_load_alone(struct luks_header **out, struct stage *header, uint64_t data_bytes,
                          struct error *err)
{
    return load(out, header, data_bytes, true, NULL, err);
}

int volume_header_load(struct luks_header **out, struct stage *image, const char *header_spec,
                       struct format_signature *content, struct error *err)
{
    uint64_t data_bytes = image->limits.size_bytes;
    struct image_options options = { .read_only = true };
    struct stage *header;
    int result;

    if (content)
        *content = (struct format_signature){ .text = "" };
    if (header_spec == NULL)
        return load(out, image, data_bytes, false, content, err);
    result = image_open(&header, header_spec, &options, err);
    if (result < 0)
        return result;
    result = volume_header_load_detached(out, header, header_spec, data_bytes, content, err);
    stage_close(header);
    return result;
}
