/* What a seed does: drawn from it, and each may be set by hand, as key=value. */
#ifndef NBDCRYPT_SIM_OPTIONS_H
#define NBDCRYPT_SIM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* name, least, most */
/* clang-format off */
#define OPTIONS(X) \
    X(tls, 0, 2) /* clients speak TLS: 1 with pre-shared keys, 2 with certificates */ \
    X(store_tls, 0, 2) /* and so does the front to the store */ \
    X(key_update_permille, 0, 1000) /* of commands: the client changes keys before it */ \
    X(remote, 0, 1) /* the image is on another server */ \
    X(lies, 0, 1000) /* per mille of what the store says: it arrives as something else */ \
    X(plain_syncs, 0, 1) /* the store tells each failed sync once, as servers without an account do */ \
    X(neighbour, 0, 1) /* a client of another export, whose disk is well */ \
    X(store_deaths, 0, 1000) \
    X(store_life_ms, 1, 1000000) /* how long that one lives, at most */ \
    X(layer, 0, 3) /* 0 raw, 1 LUKS1, 2 LUKS2 with sectors of 512, 3 of 4096 */ \
    X(detached, 0, 1) /* the header is in an image of its own */ \
    X(live_ms, 0, 1000000) /* between two changes of the running server, at most; 0: none */ \
    X(retry_exports, 0, 1) /* it starts without its disk, and tries again to open it */ \
    X(job_ms, 0, 1000000) /* between two changes of keys, at most; 0: none */ \
    X(cbc, 0, 1) /* a cipher in a mode where one half of a sector depends on the other */ \
    X(serpent, 0, 1) /* a cipher whose keyslots are opened by our code */ \
    X(zero_holes, 0, 1) \
    X(discard, 0, 1) \
    X(size_kib, 16, 65536) \
    X(region_kib, 4, 65536) /* commands are in this part of it, at a drawn place */ \
    X(workers, 1, 8) \
    X(clients, 1, 16) \
    X(commands, 1, 100000) /* of all clients together */ \
    X(buffers, 1, 8) /* for a worker, in multiples of what it needs at least */ \
    X(rude_permille, 0, 1000) /* of commands and options: they ask for what can't be */ \
    X(depth, 1, 64) /* in flight for each client */ \
    X(long_permille, 0, 1000) /* commands of more than a fragment */ \
    X(read, 0, 100) \
    X(write, 0, 100) \
    X(flush, 0, 100) \
    X(trim, 0, 100) \
    X(zero, 0, 100) \
    X(status, 0, 100) \
    X(cache, 0, 100) \
    X(fua_permille, 0, 1000) \
    X(lives, 1, 100) /* of the server */ \
    X(power, 0, 100) \
    X(kill, 0, 100) \
    X(term, 0, 100) /* weights of how a life ends */ \
    X(life_commands, 1, 100000) /* answered in a life, at most */ \
    X(early_permille, 0, 1000) /* ends while it starts */ \
    X(short_permille, 0, 1000) \
    X(interrupted_permille, 0, 1000) \
    X(slow_permille, 0, 1000) \
    X(split_permille, 0, 1000) \
    X(read_error_permille, 0, 1000) \
    X(write_error_permille, 0, 1000) \
    X(sync_error_permille, 0, 1000) \
    X(no_space_permille, 0, 1000) \
    X(no_fallocate_permille, 0, 1000) \
    X(disk_us, 1, 1000000) \
    X(loop_us, 1, 1000000) \
    X(net_us, 1, 1000000) \
    X(window_bytes, 1, 16777216) \
    X(short_net_permille, 0, 1000) \
    X(stall_permille, 0, 1000) \
    X(reset_permille, 0, 1000) /* of commands: the client resets, closes or leaves there */ \
    X(freeze_permille, 0, 1000) /* of commands: the client stops in the middle of it */ \
    X(limit_iops, 0, 1000000) /* of the export; 0: none, as for the others */ \
    X(limit_kib, 0, 1000000) /* a second */ \
    X(burst_seconds, 0, 100) /* so long it may go at twice the rate */ \
    X(client_iops, 0, 1000000) /* of each client */ \
    X(io_size_kib, 0, 1024) /* a longer command counts as several */ \
    X(places, 0, 1000) /* for clients; 0: for all */ \
    X(open_seconds, 0, 1000) /* an export may take so long to be opened; 0: 120 s */ \
    X(retry_seconds, 0, 1000) /* a remote disk is waited for; 0: as long as by default */ \
    X(batch_us, 0, 100000) /* a batch of a loop takes so long, at most */ \
    X(preempt_permille, 0, 1000) /* of locks and semaphores: the thread gets no CPU for a while */ \
    X(extended_permille, 0, 1000) /* of clients with structured replies: extended headers */ \
    X(store_is_old, 0, 1) /* it has no extended headers */ \
    X(group_iops, 0, 1000000) /* of a group of limits that the export is in */ \
    X(desert_mib, 0, 65536) /* in front of what clients write: they may ask for all of it at once */ \
    X(window, 0, 1) /* the image is a part of a file, where it has no header */
/* clang-format on */

struct options {
#define OPTION_FIELD(name, least, most) uint64_t name;
    OPTIONS(OPTION_FIELD)
#undef OPTION_FIELD
};

enum tls_proof { TLS_BY_KEY = 1, TLS_BY_CERTIFICATE };

extern struct options options;

void options_draw(void);
/* Those that mean nothing beside others are turned off. */
void options_agree(void);
/* "key=value"; false: there is no such option, or the value is out of range. */
bool options_set(const char *text);
/* The n-th: its value in `options`, and what is the least of it; NULL: there are no more. */
uint64_t *options_at(unsigned n, uint64_t *least);
/* One word for each, as options_set() takes it. */
void options_print(void);

#endif
