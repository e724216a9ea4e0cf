/* What happened: each event goes into a hash, which is the same in every run of a seed, and the
 * last ones are kept in words for the report of a failure. */
#ifndef NBDCRYPT_SIM_TRACE_H
#define NBDCRYPT_SIM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

/* `words` is a literal, a format with %llu for each number that it names, in order. */
void trace_event(const char *words, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
void trace_text(const char *text);
uint64_t trace_hash(void);
uint64_t trace_event_count(void);
/* Events are written to standard error as they happen. */
void trace_aloud(void);
void trace_print_last(void);

/* Something went wrong that must not: a sentence, then the last events, and the end of this
 * process. */
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What it is printed with; called once before the first event. */
void sim_fail_shows(void (*show)(void));

/* Kinds of faults and rare situations that are counted: a kind that never happens is not tested. */
/* clang-format off */
#define MARKS(X) \
    X(short_read) X(short_write) X(short_send) X(short_receive) X(interrupted) X(read_error) \
    X(write_error) X(sync_error) X(no_space) X(no_fallocate) X(slow_disk) X(sync_lost_data) \
    X(write_in_two_parts) X(power_cut) X(power_cut_lost_sector) X(power_cut_kept_sector) \
    X(kill) X(kill_while_starting) X(terminate) X(terminate_with_commands) X(client_reset) \
    X(client_closed) X(client_disc) X(client_stalled) X(window_full) X(late_cancel) \
    X(refused) X(unaligned_write) X(overlapping_write) X(long_command) X(fua_answered) \
    X(flush_answered) X(trim_answered) X(zero_answered) X(status_answered) X(cache_answered) \
    X(flush_failed) X(write_failed) X(read_failed) X(ended_unanswered) \
    X(read_raced_a_write) X(old_data_after_cut) X(lock_waited) X(start_failed) \
    X(key_update) X(key_changed) X(job_killed) X(job_cut_at_a_write) X(job_looked_at) \
    X(header_backup) X(header_restored) X(header_erased) X(header_wrecked) X(store_died) X(hangup) X(memory_short) X(rude_option) X(rude_command) X(second_client) X(disk_replaced) \
    X(disk_in_use) X(suspended) X(other_changed) X(config_reread) X(certificates_changed) \
    X(ended_beside_an_opening) X(job_cut_in_its_header) \
    X(resumed_clients) X(told_to_go) \
    X(forbidden) X(client_froze) X(client_silent) X(turned_away) X(limited) X(limits_changed) \
    X(long_batch) X(preempted) X(changed_by_half) X(odd_option) X(job_refused) \
    X(extended_client) X(status_query) X(odd_payload) X(beyond_32_bits) X(extended_store) X(desert_crossed) X(header_damaged) \
    X(flush_failed_as_owed) X(lie_in_handshake) X(lie_about_the_disk) \
    X(lie_in_reply) X(lie_cut) X(lie_silence) X(lie_held_back) X(lie_in_pieces) X(lie_overlaps) \
    X(lie_under_tls) X(neighbour_asked) X(image_claimed) X(keys_in_doubt) X(hole_told) \
    X(header_kept)
/* clang-format on */

#define MARK_ENUM(name) MARK_##name,
enum mark { MARKS(MARK_ENUM) MARK_COUNT };

void mark(enum mark mark);
unsigned mark_count(enum mark mark);
const char *mark_name(enum mark mark);

#endif
