#include "server/attach/attach-ktls.h"

#include <errno.h>
#include <linux/tls.h>
#include <string.h>

#include "server/client/tls-client.h"
#include "server/tls/ktls-keys.h"
#include "server/tls/tls-session.h"

#define PROXY_ADVICE "--tls-proxy does TLS in a process instead"

static int give_keys(int fd, struct tls_session *session, struct error *err)
{
    int result = ktls_keys_give(fd, session->gnutls, TLS_TX);

    if (result == 0)
        result = ktls_keys_give(fd, session->gnutls, TLS_RX);
    return result == 0 ? 0
                       : error_set(err, result,
                                   "the kernel does not take the keys of this TLS session (it "
                                   "takes those of AES-GCM); " PROXY_ADVICE);
}

int attach_ktls_start(int fd, struct tls_client *client, struct error *err)
{
    struct tls_session *session = tls_client_session(client);

    if (session == NULL || !tls_client_is_between_records(client))
        return error_set(err, -EPROTO, "the server said more than was asked for");
    int result = ktls_keys_attach(fd);
    if (result == -ENOENT)
        return error_set(
            err, result,
            "the kernel has no TLS: load its module with `modprobe tls`; " PROXY_ADVICE);
    if (result < 0)
        return error_set(err, result, "the kernel has no TLS for this socket: %s; " PROXY_ADVICE,
                         strerror(-result));
    return give_keys(fd, session, err);
}
