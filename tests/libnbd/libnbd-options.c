#include "tests/libnbd/libnbd-options.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/libnbd/libnbd-requests.h"

/* What the server must have: names and sizes by turns. */
static char **expected;
static int expected_count, listed_count;
static unsigned contexts_seen;
static const char *uri;

static struct nbd_handle *negotiate(void)
{
    struct nbd_handle *nbd = nbd_create();

    if (nbd == NULL || nbd_set_opt_mode(nbd, true) != 0 || nbd_set_full_info(nbd, true) != 0 ||
        nbd_set_uri_allow_local_file(nbd, true) != 0 || nbd_set_strict_mode(nbd, 0) != 0 ||
        nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
        nbd_connect_uri(nbd, uri) != 0) {
        fprintf(stderr, "%s: can't connect: %s\n", uri, nbd_get_error());
        exit(1);
    }
    if (!nbd_aio_is_negotiating(nbd))
        wrong("the handshake has ended by itself");
    return nbd;
}

static int take_export(void *context, const char *name, const char *description)
{
    (void)context;
    (void)description;
    if (listed_count < expected_count && strcmp(name, expected[2 * listed_count]) != 0)
        wrong("export %d is '%s' and must be '%s'", listed_count, name, expected[2 * listed_count]);
    listed_count++;
    return 0;
}

static int take_context(void *context, const char *name)
{
    (void)context;
    if (strcmp(name, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0)
        contexts_seen++;
    return 0;
}

static void check_list(struct nbd_handle *nbd)
{
    nbd_list_callback list = { .callback = take_export };

    /* Twice: asking changes nothing. */
    for (unsigned i = 0; i < 2; i++) {
        listed_count = 0;
        if (nbd_opt_list(nbd, list) != expected_count || listed_count != expected_count)
            wrong("LIST has %d exports of %d: %s", listed_count, expected_count, nbd_get_error());
    }
}

static void check_info(struct nbd_handle *nbd, const char *name, const char *size_text)
{
    nbd_context_callback context = { .callback = take_context };

    if (nbd_set_export_name(nbd, name) != 0 || nbd_opt_info(nbd) != 0) {
        wrong("INFO of '%s': %s", name, nbd_get_error());
        return;
    }
    if (nbd_get_size(nbd) != strtoll(size_text, NULL, 10))
        wrong("'%s' has %lld bytes and not %s", name, (long long)nbd_get_size(nbd), size_text);
    int64_t least = nbd_get_block_size(nbd, LIBNBD_SIZE_MINIMUM);
    int64_t best = nbd_get_block_size(nbd, LIBNBD_SIZE_PREFERRED);
    int64_t most = nbd_get_block_size(nbd, LIBNBD_SIZE_MAXIMUM);
    if (least < 1 || best < least || most < best || best < 512)
        wrong("'%s' has block sizes %lld, %lld, %lld", name, (long long)least, (long long)best,
              (long long)most);
    if (nbd_can_flush(nbd) != 1 || nbd_can_df(nbd) != 1)
        wrong("'%s' has neither FLUSH nor DF", name);
    contexts_seen = 0;
    if (nbd_opt_list_meta_context(nbd, context) < 1 || contexts_seen != 1)
        wrong("'%s' does not list base:allocation: %s", name, nbd_get_error());
    if (!nbd_aio_is_negotiating(nbd))
        wrong("INFO has ended the handshake");
}

/* Refused, and the next option is as good as any. */
static void check_unknown(struct nbd_handle *nbd)
{
    if (nbd_set_export_name(nbd, "nobody has this") != 0)
        wrong("a name is refused: %s", nbd_get_error());
    if (nbd_opt_info(nbd) == 0 || nbd_get_errno() != ENOENT)
        wrong("INFO of an unknown export: %s", nbd_get_error());
    if (nbd_opt_go(nbd) == 0 || nbd_get_errno() != ENOENT)
        wrong("GO to an unknown export: %s", nbd_get_error());
    if (!nbd_aio_is_negotiating(nbd))
        wrong("GO to an unknown export has ended the handshake");
}

static void check_go(struct nbd_handle *nbd, const char *name, const char *size_text)
{
    uint8_t data[512];

    if (nbd_set_export_name(nbd, name) != 0 || nbd_opt_go(nbd) != 0 || !nbd_aio_is_ready(nbd)) {
        wrong("GO to '%s': %s", name, nbd_get_error());
        return;
    }
    if (nbd_get_size(nbd) != strtoll(size_text, NULL, 10) ||
        nbd_can_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) != 1)
        wrong("GO says something else of '%s' than INFO", name);
    if (nbd_pread(nbd, data, sizeof data, 0, 0) != 0)
        wrong("reading '%s': %s", name, nbd_get_error());
    if (nbd_shutdown(nbd, 0) != 0)
        wrong("shutdown of '%s': %s", name, nbd_get_error());
}

void check_options(int argc, char **argv)
{
    uri = argv[0];
    expected = argv + 1;
    expected_count = (argc - 1) / 2;
    for (int i = 0; i < expected_count; i++) {
        struct nbd_handle *nbd = negotiate();

        check_list(nbd);
        for (int j = 0; j < expected_count; j++)
            check_info(nbd, expected[2 * j], expected[2 * j + 1]);
        check_unknown(nbd);
        check_go(nbd, expected[2 * i], expected[2 * i + 1]);
        nbd_close(nbd);
    }
    struct nbd_handle *nbd = negotiate();

    check_list(nbd);
    if (nbd_opt_abort(nbd) != 0 || !nbd_aio_is_closed(nbd))
        wrong("ABORT: %s", nbd_get_error());
    nbd_close(nbd);
}
