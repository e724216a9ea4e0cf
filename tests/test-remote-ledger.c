/* Which FLUSHes have to fail after a remote server was lost. */
#include "plugins/remote-ledger.h"

#include <errno.h>

#include "tests/check.h"

static int flush(struct remote_ledger *ledger)
{
    uint64_t mark = remote_ledger_flush_mark(ledger);

    if (remote_ledger_flush_refused(ledger, mark)) {
        remote_ledger_settle(ledger);
        return EIO;
    }
    return remote_ledger_flush_done(ledger, mark);
}

static void nothing_written(void)
{
    struct remote_ledger ledger = { 0 };

    remote_ledger_primary_lost(&ledger);
    EXPECT(flush(&ledger) == 0);
}

static void written_and_lost(void)
{
    struct remote_ledger ledger = { 0 };

    remote_ledger_write_answered(&ledger);
    remote_ledger_primary_lost(&ledger);
    EXPECT(flush(&ledger) == EIO);
    EXPECT(flush(&ledger) == 0);
    remote_ledger_primary_lost(&ledger);
    EXPECT(flush(&ledger) == 0);
}

static void flushed_before_the_loss(void)
{
    struct remote_ledger ledger = { 0 };

    remote_ledger_write_answered(&ledger);
    EXPECT(flush(&ledger) == 0);
    remote_ledger_primary_lost(&ledger);
    EXPECT(flush(&ledger) == 0);
}

static void written_while_the_flush_was_under_way(void)
{
    struct remote_ledger ledger = { 0 };

    remote_ledger_write_answered(&ledger);
    uint64_t mark = remote_ledger_flush_mark(&ledger);
    remote_ledger_write_answered(&ledger);
    EXPECT(remote_ledger_flush_done(&ledger, mark) == 0);
    remote_ledger_primary_lost(&ledger);
    EXPECT(flush(&ledger) == EIO);
}

static void all_waiting_flushes_fail(void)
{
    struct remote_ledger ledger = { 0 };

    remote_ledger_write_answered(&ledger);
    uint64_t mark = remote_ledger_flush_mark(&ledger);
    remote_ledger_primary_lost(&ledger);
    EXPECT(remote_ledger_flush_refused(&ledger, mark));
    EXPECT(remote_ledger_flush_refused(&ledger, mark));
    remote_ledger_primary_connected(&ledger);
    EXPECT(flush(&ledger) == 0);
}

static void a_flush_that_was_older_tells_nothing(void)
{
    struct remote_ledger ledger = { 0 };

    remote_ledger_write_answered(&ledger);
    uint64_t mark = remote_ledger_flush_mark(&ledger);
    remote_ledger_write_answered(&ledger); /* by another client, who has not flushed */
    remote_ledger_primary_lost(&ledger);
    EXPECT(remote_ledger_flush_refused(&ledger, mark));
    remote_ledger_primary_connected(&ledger);
    EXPECT(flush(&ledger) == EIO);
    EXPECT(flush(&ledger) == 0);
}

static void another_connection_is_lost(void)
{
    struct remote_ledger ledger = { 0 };

    remote_ledger_write_answered(&ledger);
    uint64_t mark = remote_ledger_flush_mark(&ledger);
    remote_ledger_connection_lost(&ledger, 0); /* with the FLUSH under way */
    EXPECT(remote_ledger_flush_done(&ledger, mark) == EIO);
    EXPECT(flush(&ledger) == 0);
}

static void replies_of_the_old_server(void)
{
    struct remote_ledger ledger = { 0 };
    unsigned generation = remote_ledger_generation(&ledger);

    remote_ledger_connection_lost(&ledger, generation);
    EXPECT(remote_ledger_is_current(&ledger, generation));
    remote_ledger_primary_lost(&ledger);
    EXPECT(!remote_ledger_is_current(&ledger, generation));
    EXPECT(!remote_ledger_has_primary(&ledger));
    EXPECT(!remote_ledger_is_current(&ledger, remote_ledger_generation(&ledger)));
    remote_ledger_primary_connected(&ledger);
    EXPECT(!remote_ledger_is_current(&ledger, generation));
    EXPECT(remote_ledger_is_current(&ledger, remote_ledger_generation(&ledger)));
}

static void a_late_notice_costs_nothing(void)
{
    struct remote_ledger ledger = { 0 };
    unsigned generation = remote_ledger_generation(&ledger);

    remote_ledger_primary_lost(&ledger);
    remote_ledger_primary_connected(&ledger);
    remote_ledger_write_answered(&ledger);
    remote_ledger_connection_lost(&ledger, generation);
    EXPECT(flush(&ledger) == 0);
}

static const struct check checks[] = {
    { "without writes a lost connection costs no FLUSH", nothing_written },
    { "a FLUSH after lost writes fails once", written_and_lost },
    { "what was flushed can't be lost", flushed_before_the_loss },
    { "a FLUSH covers only what was answered before it", written_while_the_flush_was_under_way },
    { "all FLUSHes that wait for the server fail", all_waiting_flushes_fail },
    { "a FLUSH older than the lost write does not tell of it",
      a_flush_that_was_older_tells_nothing },
    { "the loss of any connection counts", another_connection_is_lost },
    { "replies of a server that was replaced are not believed", replies_of_the_old_server },
    { "a connection that is noticed late to be of the old server costs no FLUSH",
      a_late_notice_costs_nothing },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
