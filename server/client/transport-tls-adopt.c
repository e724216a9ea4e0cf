#include "server/client/transport-tls-adopt.h"

#include <errno.h>

#include "server/base/log.h"
#include "server/transport/transport-tls-internal.h"

int transport_tls_adopt(struct transport **out, struct tls_client *client, int fd,
                        const struct transport_tls_adopt_settings *settings, struct error *err)
{
    bool between_records = tls_client_is_between_records(client);
    char text[TLS_DESCRIPTION_BYTES];
    struct tls_session *session = tls_client_session(client);
    struct tls_transport *tls;

    if (session == NULL)
        return error_set(err, -EPROTO, "TLS with the server has failed already");
    int result = transport_tls_make(&tls, settings->loop, settings->buffers, settings->name, err);

    if (result < 0)
        return result;
    loop_file_init(settings->loop, &tls->file, fd);
    transport_tls_take(tls, session);
    transport_tls_open(tls);
    tls_protection_start(tls, tls_records_per_key(), between_records);
    tls_session_describe(tls->session, tls_protection_name(tls), text, sizeof text);
    log_write_of(LOG_INFO, tls->name, "%s", text);
    *out = &tls->transport;
    return 0;
}
