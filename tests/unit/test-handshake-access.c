/* What a client may not attach is not there for it.
 *
 * The same conversations are held with two servers: one has only what the client may attach, the
 * other one has more.  Every byte of the answers must be the same, and how the conversation
 * ends. */
#include "server/access/access.h"
#include "tests/support/handshake-client.h"

#define LIMITS                                                                       \
    {                                                                                \
        .size_bytes = 1u << 20, .block_min_bytes = 1, .block_preferred_bytes = 4096, \
        .phase_bytes = 1, .ops = OP_BIT(REQUEST_READ) | OP_BIT(REQUEST_FLUSH)        \
    }

enum { UID = 7 };

/* Both kinds of servers; `hidden` are of the second one only. */
struct pair {
    const char *claim;
    const char *visible[3], *hidden[3];
};

static const struct pair pairs[] = {
    { "two visible, one hidden", { "one", "two" }, { "db1" } },
    { "one visible, one hidden", { "one" }, { "db1" } },
    { "nothing visible, one hidden", { NULL }, { "db1" } },
    { "nothing visible, the default hidden", { NULL }, { "" } },
    { "one visible, the default hidden", { "one" }, { "" } },
    { "two visible, the default hidden", { "one", "two" }, { "", "db1" } },
    { "the default visible, others hidden", { "" }, { "db1", "one" } },
};

#define PAIRS (sizeof pairs / sizeof pairs[0])

static struct access *everybody, *nobody; /* of other users */

/* ---- one conversation ---- */

struct outcome {
    size_t bytes;
    unsigned ends;
    enum handshake_result result;
    const char *attached; /* the name; NULL: none */
    bool base_allocation;
    uint8_t data[1 << 16];
};

typedef void conversation(struct client *client);

static void add(struct export *exports, size_t *count, const char *const *names,
                const struct access *access)
{
    for (size_t i = 0; i < 3 && names[i] != NULL; i++)
        exports[(*count)++] = (struct export){
            .name = names[i], .access = access, .description = names[i], .limits = LIMITS
        };
}

static void hold(struct outcome *out, const struct pair *pair, bool with_hidden, conversation *talk)
{
    struct export exports[6];
    struct client client;
    size_t count = 0;

    *out = (struct outcome){ .bytes = 0 };
    if (with_hidden)
        add(exports, &count, pair->hidden, nobody);
    add(exports, &count, pair->visible, with_hidden ? everybody : NULL);
    client_open_with(&client, exports, count);
    client.talk.peer =
        (struct peer){ .text = "test client", .address.ss_family = AF_UNIX, .uid = UID };
    client_greet(&client, CLIENT_FLAGS_ALL);
    talk(&client);
    out->bytes = fake_socket_take(client.loop, client.fd, out->data, sizeof out->data);
    out->ends = client.ends;
    out->result = client.ends ? client.result : HANDSHAKE_ABORT;
    out->base_allocation = client.talk.negotiated.contexts == META_CONTEXT_BIT(0);
    if (client.talk.export)
        out->attached = client.talk.export->name;
    client_close(&client);
}

static bool same_attached(const struct outcome *a, const struct outcome *b)
{
    if (a->attached == NULL || b->attached == NULL)
        return a->attached == b->attached;
    return !strcmp(a->attached, b->attached);
}

static void expect_same(conversation *talk)
{
    static struct outcome without, with;

    for (size_t i = 0; i < PAIRS; i++) {
        hold(&without, &pairs[i], false, talk);
        hold(&with, &pairs[i], true, talk);
        if (with.bytes != without.bytes || memcmp(with.data, without.data, with.bytes) != 0 ||
            with.ends != without.ends || with.result != without.result ||
            with.base_allocation != without.base_allocation || !same_attached(&with, &without)) {
            fprintf(stderr, "%s: the answers differ\n", pairs[i].claim);
            abort();
        }
    }
}

/* Those that were hidden and those that are nowhere. */
static const char *const names[] = { "db1", "", "one", "two", "nowhere" };

#define EACH_NAME(at) \
    (const char *const *at = names; at < names + sizeof names / sizeof names[0]; at++)

/* ---- the options ---- */

static void talk_list(struct client *client)
{
    client_option_empty(client, NBD_OPT_LIST);
}

static void list_leaves_them_out(void)
{
    expect_same(talk_list);
}

static void talk_info(struct client *client)
{
    const int infos[] = { NBD_INFO_NAME, NBD_INFO_DESCRIPTION, -1 };

    for
        EACH_NAME(name)
    client_info(client, NBD_OPT_INFO, *name, infos);
}

static void info_does_not_know_them(void)
{
    expect_same(talk_info);
}

static const char *wanted; /* by the next two */

static void talk_go(struct client *client)
{
    const int infos[] = { -1 };

    client_info(client, NBD_OPT_GO, wanted, infos);
    if (client->ends == 0)
        client_option_empty(client, NBD_OPT_LIST);
}

static void talk_export_name(struct client *client)
{
    client_send(client, NBD_OPT_EXPORT_NAME, wanted, strlen(wanted));
    fake_loop_run(client->loop);
}

static void go_and_export_name_do_not_know_them(void)
{
    for
        EACH_NAME(name)
        {
            wanted = *name;
            expect_same(talk_go);
            expect_same(talk_export_name);
        }
}

static void talk_contexts(struct client *client)
{
    const char *const queries[] = { "base:allocation", NULL }, *const none[] = { NULL };

    client_option_empty(client, NBD_OPT_STRUCTURED_REPLY);
    for
        EACH_NAME(name)
        {
            client_contexts(client, NBD_OPT_LIST_META_CONTEXT, *name, none);
            client_contexts(client, NBD_OPT_SET_META_CONTEXT, *name, queries);
        }
}

static void contexts_do_not_know_them(void)
{
    expect_same(talk_contexts);
}

/* As many options as the server takes, which is more the more exports there are. */
static void talk_long(struct client *client)
{
    for (unsigned i = 0; i < 2 * HANDSHAKE_OPTIONS_MAX && client->ends == 0; i++)
        client_option_empty(client, NBD_OPT_STRUCTURED_REPLY);
}

static void the_limit_of_options_does_not_tell(void)
{
    expect_same(talk_long);
}

/* ---- it is about this client ---- */

static void others_see_them(void)
{
    struct export exports[2] = { { .name = "db1", .access = nobody, .limits = LIMITS },
                                 { .name = "db2", .access = everybody, .limits = LIMITS } };
    const int infos[] = { -1 };
    struct client client;

    client_open_with(&client, exports, 2);
    client.talk.peer = (struct peer){ .address.ss_family = AF_UNIX, .uid = UID + 1 };
    client_greet(&client, CLIENT_FLAGS_ALL);
    client_info(&client, NBD_OPT_GO, "db2", infos);
    client_expect_only(&client, NBD_OPT_GO, NBD_REP_ERR_UNKNOWN);
    client_info(&client, NBD_OPT_GO, "", infos); /* the only one there is for it */
    client_expect(&client, NBD_OPT_GO, NBD_REP_INFO);
    client_expect(&client, NBD_OPT_GO, NBD_REP_INFO);
    client_expect(&client, NBD_OPT_GO, NBD_REP_ACK);
    client_expect_end(&client, HANDSHAKE_TRANSMISSION);
    EXPECT(client.talk.export == &exports[0]);
    client_close(&client);
}

static const struct check checks[] = {
    { "LIST leaves out what the client may not attach", list_leaves_them_out },
    { "INFO does not know it", info_does_not_know_them },
    { "GO and EXPORT_NAME do not know it", go_and_export_name_do_not_know_them },
    { "LIST_META_CONTEXT and SET_META_CONTEXT do not know it", contexts_do_not_know_them },
    { "the limit of options does not tell of it", the_limit_of_options_does_not_tell },
    { "others see it, as if there were nothing else", others_see_them },
};

int main(int argc, char **argv)
{
    struct error err;
    int status;

    EXPECT(access_create(&everybody, &(const char *){ "uid:7" }, 1, &err) == 0);
    EXPECT(access_create(&nobody, &(const char *){ "uid:8" }, 1, &err) == 0);
    status = CHECKS_RUN(checks, argc, argv);
    access_free(everybody);
    access_free(nobody);
    return status;
}
