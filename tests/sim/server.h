/* Servers in the simulated world: the product's own objects from the opening of the export to its
 * end, in the order of server/serve/.  One life of each at a time, on a host of its own. */
#ifndef NBDCRYPT_SIM_SERVER_H
#define NBDCRYPT_SIM_SERVER_H

#include <stdbool.h>
#include <stdint.h>

struct endpoint;

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
/* SIGKILL. */
void server_kill(enum site site);
unsigned server_connections(enum site site);

/* How many commands were answered in this life of the front; the operator waits for that. */
void server_count_answer(void);
unsigned server_answers(void);

/* A connection to it, from the other side; NULL: refused. */
struct endpoint *server_connect(enum site site, unsigned client);

#endif
