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

int attach_target_check_path(const char *what, const char *path, struct error *err)
{
    if (path == NULL || path[0] == '/')
        return 0;
    return error_set(err, -EINVAL,
                     "%s '%.200s' does not begin with /: it is needed again when a connection is "
                     "lost, by a process that is in another folder",
                     what, path);
}

static int check_paths(const struct nbd_uri *uri, struct error *err)
{
    int result = attach_target_check_path("socket", uri->socket_path, err);

    if (result == 0)
        result = attach_target_check_path("tls-certificates", uri->tls_certificates, err);
    if (result == 0)
        result = attach_target_check_path("tls-psk-file", uri->tls_psk_file, err);
    return result;
}

int attach_target_parse(struct attach_target *out, const char *text, struct error *err)
{
    int result = attach_target_check_text("what is to be attached", text, err);

    *out = (struct attach_target){ .local = strstr(text, "://") == NULL, .export_name = text };
    if (result < 0 || out->local)
        return result;
    result = nbd_uri_parse(&out->uri, text, err);
    if (result == 0 && (result = check_paths(&out->uri, err)) < 0)
        nbd_uri_free(&out->uri);
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
