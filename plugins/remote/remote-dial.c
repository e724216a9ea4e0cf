#include "plugins/remote/remote-dial.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/client/client-connect.h"
#include "server/client/client-handshake.h"
#include "server/client/client-tls.h"
#include "server/nbd/nbd-wire.h"
#include "server/base/tcp-keepalive.h"

#define BLOCK_MAX_BYTES 65536u
/* What servers take that say nothing (proto.md). */

/* A host that vanished without a word is noticed within about half a minute; a server that is
 * merely slow is not cut off, for its kernel goes on acknowledging. */
#define UNACKNOWLEDGED_MS 30000

int remote_address_copy(struct remote_address *to, const struct remote_address *from)
{
    *to = (struct remote_address){ .uri = strdup(from->uri) };
    if (from->tls_certificates != NULL)
        to->tls_certificates = strdup(from->tls_certificates);
    if (from->tls_psk_file != NULL)
        to->tls_psk_file = strdup(from->tls_psk_file);
    bool has_contexts = meta_contexts_copy(&to->contexts, &from->contexts);
    return !has_contexts || to->uri == NULL ||
                   (from->tls_certificates != NULL && to->tls_certificates == NULL) ||
                   (from->tls_psk_file != NULL && to->tls_psk_file == NULL)
               ? -ENOMEM
               : 0;
}

void remote_address_clear(struct remote_address *address)
{
    free(address->uri);
    free(address->tls_certificates);
    free(address->tls_psk_file);
    meta_contexts_clear(&address->contexts);
}

/* ---- what the export can do ---- */

static bool is_power_of_two(uint64_t value)
{
    return value > 0 && (value & (value - 1)) == 0;
}

/* A server that states no minimum may still want whole sectors of 512 bytes (proto.md, Block size
 * constraints), unless its size says otherwise. */
static int read_block_sizes(struct remote_features *features, const struct export_info *info,
                            struct error *err)
{
    uint32_t min = info->block_min_bytes, max = info->block_max_bytes;
    uint32_t preferred = info->block_preferred_bytes;

    if (min == 0)
        min = features->size_bytes % 512 == 0 ? 512 : 1;
    if (min > BLOCK_MAX_BYTES || !is_power_of_two(min))
        return error_set(err, -EPROTO,
                         "the server states a minimum block size of %u bytes, which is "
                         "not a power of two up to %u",
                         min, BLOCK_MAX_BYTES);
    if (max == 0 || max > NBD_PAYLOAD_BYTES_MAX)
        max = NBD_PAYLOAD_BYTES_MAX;
    max = max / min * min;
    if (max == 0)
        return error_set(err, -EPROTO,
                         "the server states a maximum block size that is smaller "
                         "than its minimum of %u bytes",
                         min);
    if (preferred < 512 || preferred > NBD_PAYLOAD_BYTES_MAX || !is_power_of_two(preferred))
        preferred = 4096;
    features->block_min_bytes = min;
    features->block_preferred_bytes = preferred < min ? min : preferred;
    features->payload_max_bytes = max;
    return 0;
}

static int read_features(struct remote_features *features, const struct export_info *info,
                         struct error *err)
{
    unsigned flags = info->flags;

    if (!(flags & NBD_FLAG_HAS_FLAGS))
        return error_set(err, -EPROTO, "the server does not say what the export can do");
    *features = (struct remote_features){
        .size_bytes = info->size_bytes,
        .read_only = flags & NBD_FLAG_READ_ONLY,
        .rotational = flags & NBD_FLAG_ROTATIONAL,
        .multi_conn = flags & NBD_FLAG_CAN_MULTI_CONN,
        .flush = flags & NBD_FLAG_SEND_FLUSH,
        .fua = flags & NBD_FLAG_SEND_FUA,
        .trim = flags & NBD_FLAG_SEND_TRIM,
        .zero = flags & NBD_FLAG_SEND_WRITE_ZEROES,
        .fast_zero = flags & NBD_FLAG_SEND_FAST_ZERO,
        .cache = flags & NBD_FLAG_SEND_CACHE,
        .extents = info->base_allocation,
    };
    int result = read_block_sizes(features, info, err);
    if (result == 0) /* the odd bytes at the end can't be addressed */
        features->size_bytes =
            features->size_bytes / features->block_min_bytes * features->block_min_bytes;
    return result;
}

/* ---- connecting ---- */

/* The two parts of what a dial finds out. */
struct findings {
    struct remote_features *features;
    struct remote_listed *listed; /* may be NULL */
};

static struct remote_terms terms_of(const struct export_info *info)
{
    return (struct remote_terms){
        .structured_replies = info->structured_replies,
        .extended_headers = info->extended_headers,
        .status_payload = info->extended_headers && info->flags & NBD_FLAG_BLOCK_STATUS_PAYLOAD,
        .contexts = info->context_ids,
        .contexts_refusal = info->contexts_refusal,
    };
}

static int shake_hands(struct remote_connection *connection, const struct findings *out,
                       const struct meta_contexts *contexts, struct channel *channel,
                       struct client_tls *tls, struct error *err)
{
    struct export_info info;
    const struct client_wishes wishes = {
        .export_name = tls->uri->export_name,
        .structured_replies = true,
        .extended_headers = true,
        .base_allocation = true,
        .contexts = contexts,
        .listed = out->listed != NULL ? &out->listed->contexts : NULL,
        .start_tls = tls->uri->tls ? client_tls_start : NULL,
        .context = tls,
    };
    int result = client_handshake(&info, channel, &wishes, err);

    connection->tls = tls->client;
    if (result == 0)
        result = read_features(out->features, &info, err);
    if (out->listed != NULL)
        out->listed->left_out = info.contexts_left_out;
    connection->terms = terms_of(&info);
    return result;
}

static int dial(struct remote_connection *out, const struct findings *found,
                const struct remote_address *address, const struct nbd_uri *uri,
                struct channel *channel, struct error *err)
{
    struct client_tls tls = { .uri = uri,
                              .certificates = address->tls_certificates,
                              .psk_file = address->tls_psk_file };
    int result = client_connect(channel, uri, err);

    if (result < 0) {
        if (result != -ECANCELED)
            error_prefix(err, "the server can't be reached: ");
        return result;
    }
    out->fd = channel->fd;
    result = shake_hands(out, found, &address->contexts, channel, &tls, err);
    if (result < 0 && result != -ECANCELED)
        error_prefix(err, "the server can't be used: ");
    client_connect_settle(out->fd);
    tcp_keepalive(out->fd, UNACKNOWLEDGED_MS);
    return result;
}

int remote_dial(struct remote_connection *out, struct remote_features *features,
                struct remote_listed *listed, const struct remote_address *address,
                unsigned deadline_ms, const atomic_bool *stop, struct error *err)
{
    const struct findings found = { .features = features, .listed = listed };
    struct channel channel = { .fd = -1, .end_ms = channel_clock_ms() + deadline_ms, .stop = stop };
    struct nbd_uri uri;

    *out = (struct remote_connection){ .fd = -1 };
    int result = nbd_uri_parse(&uri, address->uri, err);
    if (result < 0)
        return result;
    result = dial(out, &found, address, &uri, &channel, err);
    nbd_uri_free(&uri);
    if (result < 0)
        remote_connection_close(out);
    return result;
}

void remote_connection_close(struct remote_connection *connection)
{
    tls_client_free(connection->tls);
    if (connection->fd >= 0)
        close(connection->fd);
    *connection = (struct remote_connection){ .fd = -1 };
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
