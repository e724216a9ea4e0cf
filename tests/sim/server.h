/* Servers in the simulated world: the product's own objects from the opening of the export to its
 * end, in the order of server/serve/.  One life of each at a time, on a host of its own. */
#ifndef NBDCRYPT_SIM_SERVER_H
#define NBDCRYPT_SIM_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "server/serve/exports-change.h"

#define STORE_WORKERS 2u

struct endpoint;
struct limit_terms;

/* Clients are served by the front.  Its image may be on the other one, the store. */
enum site { SITE_FRONT, SITE_STORE, SITES };

enum server_state { SERVER_DOWN, SERVER_STARTING, SERVER_UP, SERVER_STOPPING };

enum server_state server_state(enum site site);
void server_begin(enum site site);
unsigned server_life(enum site site); /* changes when it ends */
/* Waits: false if it failed to start, with a reason in the trace. */
bool server_has_started(enum site site);
/* SIGTERM; then server_has_ended() waits. */
void server_terminate(enum site site);
void server_has_ended(enum site site);
/* SIGHUP, for the front. */
void server_hangup(void);
/* What it was told to read has not all been read. */
bool server_is_reading(void);
/* It serves one of that name. */
bool server_has_export(const char *name);
/* Reads its files as `nbdcrypt ctl reload` does, and waits: 0, or -errno with the reason in the
 * trace. -EPIPE: the server has ended meanwhile. */
int server_reload(bool dry_run);
/* Changes its exports as `nbdcrypt ctl` does, and waits until that is done; the same.  It has to
 * stay for ever, for nobody knows when a server that was killed lets go of it. */
struct server_change {
    struct exports_change change;
    struct wish *wish; /* for server.c */
};
int server_change(struct server_change *change);
/* The rates of the disk are these, as `nbdcrypt ctl limit` says it.  False: it is not served. */
bool server_limit(const struct limit_terms *terms);
/* The disk of the front is about to be taken from its clients, and closed, or only kept from them;
 * it was not; it is served again. */
void server_disk_goes(bool for_good);
void server_disk_stays(void);
void server_disk_is_back(void);
/* A server has told that it lacks memory for buffers.  While clients stall, or disks are slow, it
 * may refuse commands, and drop who takes no answers. */
void server_lacks_memory(void);
bool server_lacked_memory(void);
/* Grows with each of these; and whether it is away now. */
uint64_t server_disturbances(void);
void server_is_disturbed(bool more); /* or one less: for server.c */
bool server_disk_is_away(void);
/* SIGKILL. */
void server_kill(enum site site);
unsigned server_connections(enum site site);

/* How many commands were answered in this life of the front; the operator waits for that. */
void server_count_answer(void);
unsigned server_answers(void);

/* The user who is a client: some of them are the same one. */
static inline unsigned client_user(unsigned client)
{
    return 1000 + client % 3;
}
/* A connection to it, from the other side; NULL: refused. */
struct endpoint *server_connect(enum site site, unsigned client);

#endif
