#include "server/metrics/http-places.h"

#include <netinet/in.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

void http_places_init(struct http_places *places)
{
    for (size_t i = 0; i < HTTP_PLACES_MOST; i++)
        places->all[i] = (struct http_place){ .fd = -1 };
}

struct http_place *http_places_find(struct http_places *places, int fd)
{
    for (size_t i = 0; i < HTTP_PLACES_MOST; i++)
        if (places->all[i].fd == fd)
            return &places->all[i];
    return NULL;
}

bool http_places_have_room(const struct http_places *places)
{
    for (size_t i = 0; i < HTTP_PLACES_MOST; i++)
        if (places->all[i].fd < 0)
            return true;
    return false;
}

void http_place_leave(struct http_place *place)
{
    *place = (struct http_place){ .fd = -1 };
}

static bool counts(const struct http_place *place)
{
    return place->fd >= 0 && !place->cut;
}

static unsigned count_of(const struct http_places *places, uint64_t owner)
{
    unsigned count = 0;

    for (size_t i = 0; i < HTTP_PLACES_MOST; i++)
        count += counts(&places->all[i]) && places->all[i].owner == owner;
    return count;
}

static unsigned count_all(const struct http_places *places)
{
    unsigned count = 0;

    for (size_t i = 0; i < HTTP_PLACES_MOST; i++)
        count += counts(&places->all[i]);
    return count;
}

static void cut(struct http_place *place)
{
    place->cut = true;
    (void)shutdown(place->fd, SHUT_RDWR);
}

static bool goes_before(const struct http_place *a, const struct http_place *b)
{
    bool a_is_asked = a->stage == HTTP_IS_ASKED, b_is_asked = b->stage == HTTP_IS_ASKED;

    return a_is_asked != b_is_asked ? b_is_asked : a->since_ns < b->since_ns;
}

/* That of all connections, or of those of one owner, which goes first. */
static struct http_place *first_to_go(struct http_places *places, const uint64_t *owner)
{
    struct http_place *first = NULL;

    for (size_t i = 0; i < HTTP_PLACES_MOST; i++) {
        struct http_place *one = &places->all[i];

        if (counts(one) && (owner == NULL || one->owner == *owner) &&
            (first == NULL || goes_before(one, first)))
            first = one;
    }
    return first;
}

/* Of all owners with the most connections, that whose connection goes first. */
static struct http_place *first_of_the_most(struct http_places *places)
{
    struct http_place *first = NULL;
    unsigned most = 0;

    for (size_t i = 0; i < HTTP_PLACES_MOST; i++) {
        struct http_place *one = &places->all[i];
        unsigned count = counts(one) ? count_of(places, one->owner) : 0;

        if (count == 0 || count < most || (count == most && !goes_before(one, first)))
            continue;
        first = one;
        most = count;
    }
    return first;
}

struct http_place *http_places_enter(struct http_places *places, int fd, uint64_t owner,
                                     uint64_t now_ns)
{
    if (count_of(places, owner) >= HTTP_PLACES_OF_ONE)
        cut(first_to_go(places, &owner));
    else if (count_all(places) >= HTTP_PLACES)
        cut(first_of_the_most(places));
    struct http_place *place = http_places_find(places, -1);

    *place = (struct http_place){ .fd = fd, .owner = owner, .since_ns = now_ns };
    return place;
}

void http_places_cut_slow(struct http_places *places, uint64_t now_ns)
{
    for (size_t i = 0; i < HTTP_PLACES_MOST; i++) {
        struct http_place *one = &places->all[i];
        bool is_new = one->stage == HTTP_SILENT && !one->was_answered;
        uint64_t seconds = is_new ? HTTP_SILENT_SECONDS : HTTP_REQUEST_SECONDS;

        if (counts(one) && now_ns >= one->since_ns + seconds * SECOND_NS)
            cut(one);
    }
}

static uint64_t owner_of_ipv6(const struct in6_addr *address)
{
    uint64_t network;
    uint32_t ipv4;

    memcpy(&network, address->s6_addr, sizeof network);
    memcpy(&ipv4, address->s6_addr + 12, sizeof ipv4);
    return IN6_IS_ADDR_V4MAPPED(address) ? ipv4 : network;
}

uint64_t http_owner(int fd, const struct sockaddr_storage *address)
{
    struct ucred user = { .uid = (uid_t)-1 };

    switch (address->ss_family) {
    case AF_INET:
        return ((const struct sockaddr_in *)address)->sin_addr.s_addr;
    case AF_INET6:
        return owner_of_ipv6(&((const struct sockaddr_in6 *)address)->sin6_addr);
    default:
        (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &(socklen_t){ sizeof user });
        return user.uid;
    }
}
