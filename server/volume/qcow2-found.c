#include "server/volume/qcow2-found.h"

#include <errno.h>
#include <string.h>

#include "server/block/image.h"

static bool is_pinned(const struct luks_demands *demands)
{
    return demands->uuid != NULL || demands->digest != NULL || demands->cipher_count > 0 ||
           demands->key_bits_min > 0;
}

bool qcow2_found(const struct format_signature *content, const char *spec,
                 const struct luks_demands *demands)
{
    return content->qcow2 && (demands == NULL || !is_pinned(demands)) &&
           !image_names_a_format(spec) && !image_names_a_part(spec);
}

int qcow2_found_open(struct stage **out, const char *spec, const struct image_options *options,
                     struct error *err)
{
    struct image_options qcow2 = *options;
    struct error why = { "" };

    qcow2.qcow2 = true;
    int result = image_open(out, spec, &qcow2, &why);
    if (result < 0)
        return error_set(err, result, "%s (it begins as a qcow2 image)", why.text);
    return 0;
}

int qcow2_found_refuse_plain(const char *spec, struct error *err)
{
    const char *joint = strchr(spec, '?') != NULL ? "&" : "?";

    return error_set(
        err, -EMEDIUMTYPE,
        "image '%s': it is a qcow2 image, and the disk in it is not encrypted; if that is meant, "
        "name it '%s%sformat=qcow2', which --raw serves as it is, for reading, and "
        "nbdcrypt info shows",
        spec, spec, joint);
}
