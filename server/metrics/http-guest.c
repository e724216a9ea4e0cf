#include "server/metrics/http-guest.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <gnutls/gnutls.h>

#include "server/base/log.h"
#include "server/tls/tls-limits.h"
#include "server/tls/tls-server-session.h"

_Static_assert(HTTP_GUEST_CREDENTIALS == GNUTLS_CRD_PSK, "of GnuTLS");

#define REQUEST_BYTES 32768u /* that may come right behind it */
#define BYTES_MAX (TLS_LIMITS_HANDSHAKE_BYTES + REQUEST_BYTES)

struct http_guest {
    int fd;
    struct peer peer;
    struct tls_server_session *session; /* NULL: there is no TLS */
    size_t received_bytes;              /* before it is known who he is */
    bool known, told;
};

/* ---- TLS ---- */

/* GnuTLS gathers messages of any size. */
static ssize_t pull(gnutls_transport_ptr_t context, void *out, size_t bytes)
{
    struct http_guest *guest = context;

    if (!guest->known && guest->received_bytes >= BYTES_MAX) {
        tls_session_say(&guest->session->session, "it sends more than a handshake takes");
        errno = ECONNRESET;
        return -1;
    }
    ssize_t got = recv(guest->fd, out, bytes, MSG_DONTWAIT);
    guest->received_bytes += got > 0 ? (size_t)got : 0;
    return got;
}

static int wait_for_more(gnutls_transport_ptr_t context, unsigned ms)
{
    const struct http_guest *guest = context;
    struct pollfd file = { .fd = guest->fd, .events = POLLIN };

    return poll(&file, 1, (int)ms);
}

static int demand(struct http_guest *guest, gnutls_session_t gnutls, struct tls *tls,
                  struct error *err)
{
    struct tls_credentials *credentials = tls_credentials_now(tls);
    gnutls_transport_ptr_t receive, send;

    if (credentials == NULL || credentials->certificates == NULL || !credentials->verify_peer) {
        tls_credentials_unref(credentials);
        return error_set(
            err, -EPERM,
            "the TLS files that are in force have no certificate, or no CA of clients");
    }
    int result = tls_server_session_adopt(&guest->session, gnutls, credentials, err);
    if (result < 0)
        return result;
    gnutls_transport_get_ptr2(gnutls, &receive, &send);
    gnutls_transport_set_ptr2(gnutls, guest, send);
    gnutls_transport_set_pull_function(gnutls, pull);
    gnutls_transport_set_pull_timeout_function(gnutls, wait_for_more);
    return 0;
}

/* ---- guests ---- */

struct http_guest *http_guest_create(int fd, void *gnutls, struct tls *tls)
{
    struct http_guest *guest = calloc(1, sizeof *guest);
    struct error err = { "" };

    if (guest == NULL)
        return NULL;
    guest->fd = fd;
    peer_of_socket(&guest->peer, fd);
    guest->known = gnutls == NULL;
    if (gnutls != NULL && demand(guest, gnutls, tls, &err) < 0) {
        log_write_of(LOG_ERROR, guest->peer.text, "metrics: refused: %s", err.text);
        free(guest);
        return NULL;
    }
    return guest;
}

static bool learn(struct http_guest *guest)
{
    if (guest->known)
        return true;
    guest->known = tls_server_session_conclude(guest->session, &guest->peer) == 0 &&
                   guest->peer.proof != PEER_UNPROVEN;
    return guest->known;
}

bool http_guest_may(struct http_guest *guest, const struct access *access)
{
    bool may = learn(guest) && access_allows(access, &guest->peer);

    if (!may && !guest->told)
        log_write_of(LOG_WARNING, guest->peer.text,
                     "metrics: refused: no --metrics-allow rule "
                     "matches");
    guest->told |= !may;
    return may;
}

void http_guest_free(struct http_guest *guest)
{
    if (guest == NULL)
        return;
    if (!guest->known && guest->session->session.reason[0] != '\0')
        log_write_of(LOG_WARNING, guest->peer.text, "metrics: TLS handshake failed: %s",
                     guest->session->session.reason);
    else if (!guest->known && !guest->told)
        log_write_of(LOG_NOTICE, guest->peer.text,
                     "metrics: TLS handshake failed: it takes a certificate that is signed by the "
                     "CA in ca-cert.pem");
    peer_forget_tls(&guest->peer);
    if (guest->session != NULL)
        tls_session_free(&guest->session->session);
    free(guest);
}
