/* Who may attach an export: the rules of --allow.
 *
 *     rules      = "any" | rule { rule }        one is enough; the order means nothing
 *     rule       = condition { "&" condition }  all of them hold; "&&" is an '&' of a value
 *     condition  = kind ":" value
 *
 *     cert:SUBJECT-DN   the certificate's distinguished name, as dn.h compares it
 *     dns:NAME          a DNS name of the certificate; "*." in front stands for one label
 *     uri:URI           a URI of the certificate, byte for byte
 *     psk:IDENTITY      the identity of the pre-shared key, byte for byte
 *     uid:USER          a number or a name; the peer of a Unix socket
 *     gid:GROUP         the same of its primary group
 *     net:NETWORK       ADDRESS or ADDRESS/BITS, IPv4 or IPv6; an IPv4 client is one on a
 * dual-stack socket too
 *
 * What is not known of a client matches nothing, so a rule that asks for proof never lets in a
 * client without TLS. */
#ifndef NBDCRYPT_ACCESS_H
#define NBDCRYPT_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "server/base/error.h"
#include "server/access/peer.h"

/* What a client can bring along. */
enum access_way {
    ACCESS_BY_TCP = 1 << 0,
    ACCESS_BY_UNIX = 1 << 1,
    ACCESS_BY_CERTIFICATE = 1 << 2, /* over TLS, verified */
    ACCESS_BY_PSK = 1 << 3,
};

/* A list of rules; does not change, so any thread may read it.  NULL: everybody may. */
struct access;

/* Reads `count` rules; names of users and groups are looked up now.  *out is NULL without rules
 * and for "any".  -EINVAL with a sentence that begins with the rule, -ENOMEM. */
NODISCARD int access_create(struct access **out, const char *const *rules, size_t count,
                            struct error *err);
void access_free(struct access *access);

/* Whether one of the rules lets this client in. */
bool access_allows(const struct access *access, const struct peer *peer);

size_t access_rule_count(const struct access *access);
/* As it was written; belongs to `access`. */
const char *access_rule_text(const struct access *access, size_t index);
/* Why nobody can ever match a rule where clients come in these ways (a set of enum access_way);
 * NULL: somebody can. */
const char *access_rule_is_dead(const struct access *access, size_t index, unsigned ways);

#endif
