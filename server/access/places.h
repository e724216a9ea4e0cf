/* Who may be connected: how many in all, how many that have not chosen an export yet, and how many
 * of one client. Counters that the main thread and the workers share, without locks.
 *
 *     places_enter()  accepted: in its handshake
 *     places_prove()  TLS has proven who it is: counts as that from now on, no more by its address
 *     places_attach() it has chosen an export
 *     places_leave()
 *
 * Handshakes have places of their own, a quarter of those of clients: however many connect and
 * choose nothing, whoever is attached stays, and there is room for more. When they get scarce some
 * newcomers are dropped by chance, more the fewer are left, so that a client which tries again gets
 * in beside a flood (MaxStartups of sshd_config(5); S. Floyd, V. Jacobson, "Random early detection
 * gateways for congestion avoidance", 1993).
 *
 * One client gets a quarter of them, too.
 *
 * A client is an address (an IPv6 network of 64 bits), a user of this machine, or what TLS has
 * proven. Each has a counter by a keyed hash, so two may share one: by chance, and rarely. The user
 * who runs the server, and root, could end it: they have no share. */
#ifndef NBDCRYPT_PLACES_H
#define NBDCRYPT_PLACES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/access/peer.h"

#define PLACES_SHARES 65536u
#define PLACES_HANDSHAKES_LEAST 64u

struct places {
    atomic_uint attached_max, handshakes_max, share_max;
    uint64_t key; /* of the hash */
    atomic_uint attached, handshakes;
    atomic_uint shares[PLACES_SHARES];  /* all connections of a client */
    atomic_uint pending[PLACES_SHARES]; /* of these, those in their handshake */
};

/* What a connection has of them; zeroed at first. */
struct place {
    bool entered, attached, shared;
    uint16_t share; /* if `shared` */
};

enum place_result {
    PLACE_GRANTED,
    PLACE_NONE,          /* --max-connections clients are attached */
    PLACE_NO_HANDSHAKES, /* too many are in their handshake */
    PLACE_NO_SHARE, /* this client has --max-connections-per-client, or its part of the handshakes
                     */
};

/* `share_max`: 0 is a quarter of `attached_max`, and at least 16. */
void places_init(struct places *places, unsigned attached_max, unsigned share_max);
/* Any thread; who is there stays. */
void places_set_limits(struct places *places, unsigned attached_max, unsigned share_max);
/* What one client gets of them then. */
unsigned places_share_max(unsigned attached_max, unsigned share_max);
/* Anything but PLACE_GRANTED: `place` holds nothing. */
enum place_result places_enter(struct places *places, struct place *place, const struct peer *peer);
/* Anything but PLACE_GRANTED: it has what it had. */
enum place_result places_prove(struct places *places, struct place *place, const struct peer *peer);
enum place_result places_attach(struct places *places, struct place *place);
void places_leave(struct places *places, struct place *place);

/* Why there is none, as the operator is told it, in the log. */
void places_log(const struct places *places, const struct peer *peer, enum place_result why);
/* Why there is none, as the client is told it. */
const char *places_sentence(enum place_result result);

#endif
