/* A process beside this one that starts other programs for it: a key-command, say.  It is this
 * program once more, by exec, from /proc/self/exe: it has none of our memory and threads, so that
 * no secret is in it, no open files but what an order brings along, and limits as this process had
 * at its start.  It is started when it is needed first, and goes when this process does, however
 * that ends: then, or when an order is taken back, what it has started is killed, with the group
 * that it leads.  Besides it ends what plugins have left (descendants.h).
 *
 * One that does not answer for SPAWNER_ANSWER_SECONDS is killed, with what it has started.  When it
 * is gone, the next order starts another one.
 *
 * Any thread; they take turns for the moments in which a program starts. */
#ifndef NBDCRYPT_SPAWNER_H
#define NBDCRYPT_SPAWNER_H

#include <stdbool.h>
#include <sys/types.h>

#include "server/base/error.h"
#include "server/base/user.h"

#define SPAWNER_FILES 3u
#define SPAWNER_ANSWER_SECONDS 10

/* What is to be started, and all that it gets: nothing is inherited that is not said here. */
struct spawn_order {
    char *const *argv;        /* ends with NULL; argv[0] is looked for in our PATH */
    char *const *environment; /* ends with NULL */
    int files[SPAWNER_FILES]; /* all open; become its standard files; they stay the caller's */
    const char *folder;       /* where it works; NULL: where we do */
    mode_t umask;
};

/* Started: *leash is the caller's.  It becomes readable when the program has ended, for
 * spawner_status(); before that spawner_stop() or a close of it ends the program.  -errno with a
 * sentence. */
NODISCARD int spawner_start(int *leash, const struct spawn_order *order, struct error *err);
/* How it ended, as of waitpid(2); waits for that.  -EIO: nobody knows any more. */
NODISCARD int spawner_status(int leash, int *status, struct error *err);

/* Starts it before it is needed.  `sandboxed`: and another one that stands by, because from now on
 * this process starts none: when one of the two ends, the other one makes its successor.  None of
 * them, and nothing that they start, gains privileges by exec (no_new_privs). */
NODISCARD int spawner_start_now(bool sandboxed, struct error *err);

struct spawner_rule;
/* From now on it starts what these rules say, with this environment, whatever an order says, and
 * nothing else: who breaks into this process gets no other program.  For good; behind
 * spawner_start_now(true), spawner_remember() and before there is anybody who could break in.  An
 * order that is none of them fails with -EPERM. */
NODISCARD int spawner_seal(const struct spawner_rule *rules, size_t count, char *const *environment,
                           struct error *err);
/* Whether such an order would be carried out: always, without a seal.  Any thread. */
bool spawner_may_start(char *const *argv);

/* It is that user from now on, and so is what it starts.  One that does not run is not started: it
 * will be who we are then. */
NODISCARD int spawner_become(const struct user *user, struct error *err);

/* Kills it, with its group, and waits for that; *leash is closed. */
void spawner_stop(int leash);

/* Called for each such process that is started, on the thread that did, and at once for those that
 * run; must not call anything here.  Who watches that process calls spawner_restore() when it has
 * ended. */
typedef void spawner_started_fn(void *context, pid_t process);
void spawner_tell_started(spawner_started_fn *fn, void *context);
/* What has ended is waited for, and replaced: at once if there is another one that can, else when
 * it is needed (*as_needed).  Any thread; may block for SPAWNER_ANSWER_SECONDS.  -EIO: nothing can
 * be started any more. */
NODISCARD int spawner_restore(bool *as_needed, struct error *err);
/* Nothing can be started any more; any thread, at once. */
bool spawner_is_gone(void);

/* What carries that text in its environment is ended when this process has gone. */
NODISCARD int spawner_watch(const char *mark, struct error *err);

/* The process beside keeps the descriptor, which stays open here.  When this process has gone,
 * however that was, it calls what it was given by spawner_set_last_words(), with both.  Once;
 * starts the process. */
NODISCARD int spawner_remember(int fd, const char *text, struct error *err);

/* Kills what it has started, and waits for that, at most a second.  For good: nothing is started
 * any more. */
void spawner_end(void);

/* For tests: called in the place of starting a program; what it returns is what spawner_start()
 * does.  NULL: programs are started. */
typedef int spawner_rehearsal_fn(const struct spawn_order *order, int *leash, struct error *err);
void spawner_rehearse(spawner_rehearsal_fn *fn);

/* The same: instead of SPAWNER_ANSWER_SECONDS; before anything is started. */
void spawner_expect_answers_within(unsigned ms);

/* Before anything else in main(): limits as programs get them. */
void spawner_note_limits(void);
/* Before spawner_is_this(). */
typedef void spawner_last_words_fn(int fd, const char *text);
void spawner_set_last_words(spawner_last_words_fn *fn);
/* Was this process started to be the one beside?  Then it was, to the end, and *status is its exit
 * status. */
bool spawner_is_this(int argc, char **argv, int *status);

#endif
