#include "server/access/places.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/base/tally.h"

#define SHARE_LEAST \
    16u /* one client can work with so many, such as nbdcopy with its 4, several times */

/* FNV-1a, begun with a secret, and mixed (the finalizer of SplitMix64): who connects can't choose
 * whose counter he shares. */
static uint16_t share_of(const struct places *places, char kind, const void *data, size_t bytes)
{
    uint64_t hash = places->key ^ (unsigned char)kind;

    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * UINT64_C(0x100000001b3);
    hash = (hash ^ hash >> 30 ^ places->key) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint16_t)(hash >> 48);
}

/* False: this peer has no share. */
static bool find_share(uint16_t *out, const struct places *places, const struct peer *peer)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&peer->address;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&peer->address;

    if (peer->address.ss_family == AF_UNIX && (peer->uid == 0 || peer->uid == geteuid()))
        return false;
    if (peer->proof != PEER_UNPROVEN && peer->identity != NULL) {
        *out = share_of(places, (char)('a' + (int)peer->proof), peer->identity,
                        strlen(peer->identity));
        return true;
    }
    switch (peer->address.ss_family) {
    case AF_INET:
        *out = share_of(places, '4', &v4->sin_addr, sizeof v4->sin_addr);
        return true;
    case AF_INET6:
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            *out = share_of(places, '4', v6->sin6_addr.s6_addr + 12, 4);
        else
            *out = share_of(places, '6', v6->sin6_addr.s6_addr, 8);
        return true;
    case AF_UNIX:
        *out = share_of(places, 'u', &peer->uid, sizeof peer->uid);
        return true;
    default:
        return false;
    }
}

/* One more, if there are fewer than `most`. */
static bool take(atomic_uint *counter, unsigned most)
{
    if (atomic_fetch_add(counter, 1) < most)
        return true;
    atomic_fetch_sub(counter, 1);
    return false;
}

/* From three quarters of the places on the chance to be dropped grows to one. */
static bool is_dropped_early(const struct places *places)
{
    unsigned begun = atomic_load(&places->handshakes), most = places->handshakes_max;
    unsigned free_until = most - most / 4;
    uint32_t chance = 0;

    if (begun < free_until)
        return false;
    if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) < 0)
        return false;
    return chance % (most - free_until + 1) < begun - free_until;
}

unsigned places_share_max(unsigned attached_max, unsigned share_max)
{
    if (share_max > 0)
        return share_max;
    return attached_max > 4 * SHARE_LEAST ? attached_max / 4 : SHARE_LEAST;
}

void places_set_limits(struct places *places, unsigned attached_max, unsigned share_max)
{
    unsigned quarter = attached_max / 4;

    atomic_store(&places->attached_max, attached_max);
    atomic_store(&places->share_max, places_share_max(attached_max, share_max));
    atomic_store(&places->handshakes_max,
                 quarter > PLACES_HANDSHAKES_LEAST ? quarter : PLACES_HANDSHAKES_LEAST);
}

void places_init(struct places *places, unsigned attached_max, unsigned share_max)
{
    memset(places, 0, sizeof *places);
    places_set_limits(places, attached_max, share_max);
    if (getrandom(&places->key, sizeof places->key, 0) < 0)
        places->key = (uint64_t)getpid();
}

static void leave_share(struct places *places, const struct place *place)
{
    if (!place->shared)
        return;
    atomic_fetch_sub(&places->shares[place->share], 1);
    if (!place->attached)
        atomic_fetch_sub(&places->pending[place->share], 1);
}

/* In its handshake. */
static bool take_share(struct places *places, uint16_t share)
{
    if (!take(&places->shares[share], places->share_max))
        return false;
    if (take(&places->pending[share], places->handshakes_max / 4))
        return true;
    atomic_fetch_sub(&places->shares[share], 1);
    return false;
}

enum place_result places_enter(struct places *places, struct place *place, const struct peer *peer)
{
    *place = (struct place){ 0 };
    if (atomic_load(&places->attached) >= places->attached_max)
        return PLACE_NONE;
    place->shared = find_share(&place->share, places, peer);
    if (place->shared && !take_share(places, place->share))
        return PLACE_NO_SHARE;
    if (is_dropped_early(places) || !take(&places->handshakes, places->handshakes_max)) {
        leave_share(places, place);
        return PLACE_NO_HANDSHAKES;
    }
    place->entered = true;
    return PLACE_GRANTED;
}

enum place_result places_prove(struct places *places, struct place *place, const struct peer *peer)
{
    uint16_t share;

    if (!place->entered || !find_share(&share, places, peer))
        return PLACE_GRANTED;
    if (!take_share(places, share))
        return PLACE_NO_SHARE;
    leave_share(places, place);
    place->shared = true;
    place->share = share;
    return PLACE_GRANTED;
}

enum place_result places_attach(struct places *places, struct place *place)
{
    if (!place->entered || place->attached)
        return PLACE_GRANTED;
    if (!take(&places->attached, places->attached_max))
        return PLACE_NONE;
    atomic_fetch_sub(&places->handshakes, 1);
    if (place->shared)
        atomic_fetch_sub(&places->pending[place->share], 1);
    place->attached = true;
    return PLACE_GRANTED;
}

void places_leave(struct places *places, struct place *place)
{
    if (!place->entered)
        return;
    atomic_fetch_sub(place->attached ? &places->attached : &places->handshakes, 1);
    leave_share(places, place);
    *place = (struct place){ 0 };
}

const char *places_sentence(enum place_result result)
{
    switch (result) {
    case PLACE_NONE:
        return "there are as many clients as the server takes; try again later";
    case PLACE_NO_HANDSHAKES:
        return "too many clients are connecting at once; try again";
    case PLACE_NO_SHARE:
        return "you have as many connections as the server lets one client have";
    case PLACE_GRANTED:
        break;
    }
    return "";
}

void places_log(const struct places *places, const struct peer *peer, enum place_result why)
{
    tally_add(TALLY_REJECTED_LIMIT);
    if (why == PLACE_NONE)
        log_write_about(
            LOG_WARNING, LOG_ABOUT(.id = LOG_ID_CLIENT_REFUSED, .who = peer->text),
            "turned away, as many clients are connected as may be: %u (--max-connections)",
            places->attached_max);
    else if (why == PLACE_NO_HANDSHAKES)
        log_write_about(
            LOG_WARNING, LOG_ABOUT(.id = LOG_ID_CLIENT_REFUSED, .who = peer->text),
            "turned away, %u clients are in their handshake (a quarter of --max-connections, "
            "or %u)",
            atomic_load(&places->handshakes), PLACES_HANDSHAKES_LEAST);
    else
        log_write_about(LOG_WARNING, LOG_ABOUT(.id = LOG_ID_CLIENT_REFUSED, .who = peer->text),
                        "turned away, it has %u connections (--max-connections-per-client)",
                        places->share_max);
}
