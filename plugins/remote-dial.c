#include "plugins/remote-dial.h"

#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define POLL_MS 50u /* how soon a wish to stop is noticed */
#define BLOCK_MAX_BYTES 65536u
#define PAYLOAD_MAX_BYTES (32u * 1024u * 1024u) /* what servers take that say nothing (proto.md) */

/* A host that vanished without a word is noticed within about half a minute; a server that is
 * merely slow is not cut off, for its kernel goes on acknowledging. */
#define KEEPALIVE_IDLE_S 10
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_COUNT 4
#define UNACKNOWLEDGED_MS 30000

uint64_t remote_clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 1;
}

const char *remote_library_error(void)
{
    const char *text = nbd_get_error();
    const char *colon = text != NULL ? strstr(text, ": ") : NULL;

    if (colon != NULL && strncmp(text, "nbd_", 4) == 0)
        return colon + 2;
    return text != NULL ? text : "no reason was given";
}

static int explain(const char *what, struct error *err)
{
    int code = nbd_get_errno();

    return error_set(err, code > 0 ? -code : -EIO, "%s: %s", what, remote_library_error());
}

int remote_address_copy(struct remote_address *to, const struct remote_address *from)
{
    *to = (struct remote_address){ .uri = strdup(from->uri) };
    if (from->tls_certificates != NULL)
        to->tls_certificates = strdup(from->tls_certificates);
    if (from->tls_psk_file != NULL)
        to->tls_psk_file = strdup(from->tls_psk_file);
    return to->uri == NULL || (from->tls_certificates != NULL && to->tls_certificates == NULL) ||
                   (from->tls_psk_file != NULL && to->tls_psk_file == NULL)
               ? -ENOMEM
               : 0;
}

void remote_address_clear(struct remote_address *address)
{
    free(address->uri);
    free(address->tls_certificates);
    free(address->tls_psk_file);
}

/* ---- connecting ---- */

static int prepare(struct nbd_handle *nbd, const struct remote_address *address, struct error *err)
{
    if (nbd_set_uri_allow_transports(nbd, LIBNBD_ALLOW_TRANSPORT_TCP |
                                              LIBNBD_ALLOW_TRANSPORT_UNIX) < 0 ||
        nbd_set_uri_allow_local_file(nbd, false) < 0 ||
        nbd_set_request_structured_replies(nbd, true) < 0 ||
#ifdef LIBNBD_HAVE_NBD_SET_PREAD_INITIALIZE
        nbd_set_pread_initialize(nbd, false) < 0 || /* remote-coverage.h sees to that, for less */
#endif
        nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
        nbd_set_tls_verify_peer(nbd, true) < 0 ||
        (address->tls_certificates != NULL &&
         nbd_set_tls_certificates(nbd, address->tls_certificates) < 0) ||
        (address->tls_psk_file != NULL && nbd_set_tls_psk_file(nbd, address->tls_psk_file) < 0))
        return explain("the connection could not be prepared", err);
    return 0;
}

/* Waits a little for what the library waits for, and lets it go on.  Not nbd_poll(): that reports a
 * connection which the server has closed already as readable, while the library still waits for its
 * being made, and takes that for a mistake of ours. */
static int step(struct nbd_handle *nbd)
{
    unsigned direction = nbd_aio_get_direction(nbd);
    bool reads = direction & LIBNBD_AIO_DIRECTION_READ;
    bool writes = direction & LIBNBD_AIO_DIRECTION_WRITE;
    struct pollfd poll_fd = {
        .fd = nbd_aio_get_fd(nbd),
        .events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)),
    };

    if (poll(&poll_fd, 1, (int)POLL_MS) <= 0)
        return 0; /* EINTR too: it is tried again */
    if (reads && (poll_fd.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        return nbd_aio_notify_read(nbd);
    if (writes && (poll_fd.revents & (POLLOUT | POLLHUP | POLLERR)) != 0)
        return nbd_aio_notify_write(nbd);
    return 0;
}

/* Until the handshake is over, one way or the other. */
static int negotiate(struct nbd_handle *nbd, unsigned deadline_ms, const atomic_bool *stop,
                     struct error *err)
{
    uint64_t end_ms = remote_clock_ms() + deadline_ms;

    while (!nbd_aio_is_ready(nbd)) {
        if (nbd_aio_is_dead(nbd) || nbd_aio_is_closed(nbd))
            return error_set(err, -ECONNRESET,
                             "the server closed the connection during the handshake");
        if (atomic_load(stop))
            return error_set(err, -ECANCELED, "the program ends");
        if (remote_clock_ms() >= end_ms)
            return error_set(err, -ETIMEDOUT,
                             "the server did not finish the handshake within %u seconds",
                             (deadline_ms + 999) / 1000);
        if (step(nbd) < 0)
            return explain("the server can't be used", err);
    }
    return 0;
}

/* Has no effect on Unix sockets, and need not. */
static void watch_peer(int fd)
{
    static const struct {
        int level, name, value;
    } settings[] = {
        { SOL_SOCKET, SO_KEEPALIVE, 1 },
        { IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
        { IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S },
        { IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT },
        { IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS },
    };

    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        (void)setsockopt(fd, settings[i].level, settings[i].name, &settings[i].value,
                         sizeof settings[i].value);
}

/* ---- what the export can do ---- */

static bool is_power_of_two(uint64_t value)
{
    return value > 0 && (value & (value - 1)) == 0;
}

/* A server that states no minimum may still want whole sectors of 512 bytes (proto.md, Block size
 * constraints), unless its size says otherwise. */
static int read_block_sizes(struct remote_features *features, struct nbd_handle *nbd,
                            struct error *err)
{
    int64_t min = nbd_get_block_size(nbd, LIBNBD_SIZE_MINIMUM);
    int64_t preferred = nbd_get_block_size(nbd, LIBNBD_SIZE_PREFERRED);
    int64_t max = nbd_get_block_size(nbd, LIBNBD_SIZE_MAXIMUM);

    if (min <= 0)
        min = features->size_bytes % 512 == 0 ? 512 : 1;
    if (min > BLOCK_MAX_BYTES || !is_power_of_two((uint64_t)min))
        return error_set(err, -EPROTO,
                         "the server states a minimum block size of %" PRId64
                         " bytes, which is not a power of two up to %u",
                         min, BLOCK_MAX_BYTES);
    if (max <= 0 || max > PAYLOAD_MAX_BYTES)
        max = PAYLOAD_MAX_BYTES;
    max = max / min * min;
    if (max == 0)
        return error_set(err, -EPROTO,
                         "the server states a maximum block size that is smaller "
                         "than its minimum of %" PRId64 " bytes",
                         min);
    if (preferred < 512 || preferred > PAYLOAD_MAX_BYTES || !is_power_of_two((uint64_t)preferred))
        preferred = 4096;
    features->block_min_bytes = (uint32_t)min;
    features->block_preferred_bytes = (uint32_t)(preferred < min ? min : preferred);
    features->payload_max_bytes = (uint32_t)max;
    return 0;
}

static int read_features(struct remote_features *features, struct nbd_handle *nbd,
                         struct error *err)
{
    int64_t size = nbd_get_size(nbd);

    if (size < 0)
        return explain("the server states no usable size", err);
    *features = (struct remote_features){
        .size_bytes = (uint64_t)size,
        .read_only = nbd_is_read_only(nbd) > 0,
        .rotational = nbd_is_rotational(nbd) > 0,
        .multi_conn = nbd_can_multi_conn(nbd) > 0,
        .flush = nbd_can_flush(nbd) > 0,
        .fua = nbd_can_fua(nbd) > 0,
        .trim = nbd_can_trim(nbd) > 0,
        .zero = nbd_can_zero(nbd) > 0,
        .fast_zero = nbd_can_fast_zero(nbd) > 0,
        .cache = nbd_can_cache(nbd) > 0,
        .extents = nbd_can_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) > 0,
    };
    int code = read_block_sizes(features, nbd, err);
    if (code == 0) /* the odd bytes at the end can't be addressed */
        features->size_bytes =
            features->size_bytes / features->block_min_bytes * features->block_min_bytes;
    return code;
}

int remote_dial(struct nbd_handle **out, struct remote_features *features,
                const struct remote_address *address, unsigned deadline_ms, const atomic_bool *stop,
                struct error *err)
{
    struct nbd_handle *nbd = nbd_create();

    if (nbd == NULL)
        return explain("libnbd could not be started", err);
    int code = prepare(nbd, address, err);
    if (code == 0 && nbd_aio_connect_uri(nbd, address->uri) < 0)
        code = explain("the server can't be reached", err);
    if (code == 0)
        code = negotiate(nbd, deadline_ms, stop, err);
    if (code == 0)
        code = read_features(features, nbd, err);
    if (code < 0) {
        nbd_close(nbd);
        return code;
    }
    watch_peer(nbd_aio_get_fd(nbd));
    *out = nbd;
    return 0;
}

int remote_features_check(const struct remote_features *before, const struct remote_features *now,
                          struct error *err)
{
    if (now->size_bytes != before->size_bytes)
        return error_set(err, -EMEDIUMTYPE,
                         "it now has %" PRIu64 " bytes and had %" PRIu64
                         ": it is not the same disk",
                         now->size_bytes, before->size_bytes);
    if (now->read_only != before->read_only)
        return error_set(err, -EMEDIUMTYPE, "it is %s now and was not before",
                         now->read_only ? "read-only" : "writable");
    if (now->block_min_bytes != before->block_min_bytes ||
        now->payload_max_bytes != before->payload_max_bytes)
        return error_set(err, -EMEDIUMTYPE, "its block sizes have changed");
    if (now->flush != before->flush || now->fua != before->fua || now->trim != before->trim ||
        now->zero != before->zero || now->fast_zero != before->fast_zero ||
        now->cache != before->cache || now->extents != before->extents ||
        now->multi_conn != before->multi_conn)
        return error_set(err, -EMEDIUMTYPE,
                         "it can't do the same as before any more, or can do "
                         "more: restart nbdcrypt to use it as it is");
    return 0;
}
