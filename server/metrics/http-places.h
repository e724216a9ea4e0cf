/* Who is connected to a socket that answers HTTP, and who goes when it is full: nobody keeps others
 * out.  One that comes always gets a place.  When there is none it is taken from the owner who has
 * the most, or has as many as one may: from his oldest connection that waits for a request.  So who
 * sends his request at once is answered, however many others there are who do not.
 *
 * An owner is a user on a Unix socket, and an address elsewhere: of IPv6, a network of 64 bits. */
#ifndef NBDCRYPT_HTTP_PLACES_H
#define NBDCRYPT_HTTP_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define HTTP_PLACES 64u        /* of each socket */
#define HTTP_PLACES_OF_ONE 32u /* of these, for one owner */
#define HTTP_SILENT_SECONDS 3u /* within them the first line of a request comes */
#define HTTP_REQUEST_SECONDS 10u

enum http_stage {
    HTTP_SILENT,  /* nothing has come */
    HTTP_SPEAKS,  /* the first line of a request has come */
    HTTP_IS_ASKED /* the request has come, and is answered */
};

/* A connection that is there. */
struct http_place {
    int fd;            /* -1: this place is free */
    bool cut;          /* it was shut down, and waits for its end */
    bool begun;        /* the library knows of it */
    bool was_answered; /* once, at least */
    enum http_stage stage;
    uint64_t since_ns; /* it was accepted, or has got its last answer */
    uint64_t owner;
    struct http_guest *guest; /* NULL: he was not let in, or has not begun */
};

/* Those that were cut stay for a moment. */
#define HTTP_PLACES_MOST (2 * HTTP_PLACES)

struct http_places {
    struct http_place all[HTTP_PLACES_MOST];
};

void http_places_init(struct http_places *places);
/* False: none is free, until one that was cut has ended. */
bool http_places_have_room(const struct http_places *places);
/* One came; there is room.  Another is shut down for it if it must be. */
struct http_place *http_places_enter(struct http_places *places, int fd, uint64_t owner,
                                     uint64_t now_ns);
void http_place_leave(struct http_place *place);
/* NULL: none has that descriptor. */
struct http_place *http_places_find(struct http_places *places, int fd);
/* Shuts down who is slow: a byte now and then does not keep a place. */
void http_places_cut_slow(struct http_places *places, uint64_t now_ns);

/* Of a connection, which has this address. */
uint64_t http_owner(int fd, const struct sockaddr_storage *address);

#endif
