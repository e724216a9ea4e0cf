#include "server/client/transport-tls-adopt.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

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

/* Small buffers do not belong to those of a thread. */
static void keep_received(struct tls_transport *tls)
{
    struct tls_buffer *in = tls->in;
    uint32_t count = in->end - in->start;

    tls->in = count > 0 && count <= TLS_BUFFER_SMALL_BYTES ? tls_buffer_acquire(tls->buffers, false)
                                                           : NULL;
    if (tls->in != NULL) {
        memcpy(tls->in->bytes, in->bytes + in->start, count);
        tls->in->end = count;
    }
    tls->broken |= tls->in == NULL && count > 0;
    tls_buffer_release(tls->buffers, in);
}

void transport_tls_leave(struct transport *transport)
{
    struct tls_transport *tls = container_of(transport, struct tls_transport, transport);
    int fd = tls->file.fd;

    assert(!tls->receiving && !tls->sending && tls->out == NULL);
    if (tls->in != NULL)
        keep_received(tls);
    loop_file_release(transport->loop, &tls->file);
    tls->file.fd = fd;
    transport->loop = NULL;
    tls->buffers = NULL;
}

void transport_tls_rejoin(struct transport *transport,
                          const struct transport_tls_adopt_settings *settings)
{
    struct tls_transport *tls = container_of(transport, struct tls_transport, transport);

    transport->loop = settings->loop;
    tls->buffers = settings->buffers;
    tls->name = settings->name;
    loop_file_init(settings->loop, &tls->file, tls->file.fd);
}
