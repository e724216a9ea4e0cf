#include "server/attach/attach-target.h"

#include <errno.h>
#include <string.h>

#include "server/base/utf8.h"

int attach_target_check_text(const char *what, const char *text, struct error *err)
{
    if (text[0] == '\0')
        return error_set(err, -EINVAL, "%s is empty", what);
    if (strlen(text) > ATTACH_TEXT_BYTES_MAX)
        return error_set(err, -EINVAL, "%s has more than %u bytes", what, ATTACH_TEXT_BYTES_MAX);
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++)
        if (*at < 0x20 || *at == 0x7f)
            return error_set(err, -EINVAL, "%s has a control character", what);
    return 0;
}

int attach_target_parse(struct attach_target *out, const char *text, struct error *err)
{
    int result = attach_target_check_text("what is to be attached", text, err);

    *out = (struct attach_target){ .local = strstr(text, "://") == NULL, .export_name = text };
    if (result < 0 || out->local)
        return result;
    result = nbd_uri_parse(&out->uri, text, err);
    if (result < 0) {
        error_prefix(err, "'%.200s': ", text);
        return result;
    }
    out->export_name = out->uri.export_name;
    return 0;
}

void attach_target_free(struct attach_target *target)
{
    if (!target->local)
        nbd_uri_free(&target->uri);
}
