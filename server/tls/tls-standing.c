#include "server/tls/tls-standing.h"

#include <string.h>

#include "server/tls/tls-credentials.h"

int64_t tls_standing_end_s(const struct peer *peer)
{
    return peer->proof == PEER_CERTIFICATE && peer->certificate.expires_s != 0
               ? peer->certificate.expires_s
               : INT64_MAX;
}

static bool has_key(const struct tls_credentials *now, const char *identity)
{
    size_t key_bytes;

    return now->keys != NULL &&
           psk_file_find(now->keys, identity, strlen(identity), &key_bytes) != NULL;
}

const char *tls_standing_lost(const struct tls_credentials *now, const struct peer *peer)
{
    if (peer->proof == PEER_CERTIFICATE && tls_revocation_has(now->revocation, &peer->certificate))
        return "its certificate was revoked";
    if (peer->proof == PEER_PSK && !has_key(now, peer->identity))
        return "its PSK identity is no longer in the file of --tls-psk";
    return NULL;
}
