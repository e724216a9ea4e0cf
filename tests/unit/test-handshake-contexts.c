/* Metadata contexts and transmission flags: what a client may rely on after the handshake
 * (proto.md, "Metadata querying" and "Transmission flags"). */
#include "tests/support/handshake-client.h"

#define LIST NBD_OPT_LIST_META_CONTEXT
#define SET NBD_OPT_SET_META_CONTEXT
#define NO_INFOS ((const int[]){ -1 })
#define QUERIES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define NO_QUERIES ((const char *const[]){ NULL })

static struct client client;

static void start(void)
{
    client_start(&client);
    client_option_empty(&client, NBD_OPT_STRUCTURED_REPLY);
    client_expect_only(&client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
}

/* base:allocation once, with this id, then ACK. */
static void expect_base_allocation(uint32_t option, uint32_t id)
{
    struct reply reply;

    client_take(&client, option, &reply);
    EXPECT(reply.type == NBD_REP_META_CONTEXT);
    EXPECT(reply.length_bytes == 4 + strlen("base:allocation"));
    EXPECT(nbd_get_u32(reply.data) == id);
    EXPECT(!memcmp(reply.data + 4, "base:allocation", strlen("base:allocation")));
    client_expect_only(&client, option, NBD_REP_ACK);
}

static void select_it(const char *name)
{
    client_contexts(&client, SET, name, QUERIES("base:allocation"));
    expect_base_allocation(SET, NBD_CONTEXT_BASE_ALLOCATION_ID);
}

/* Whether base:allocation is selected when transmission begins. */
static bool selected_after_go(const char *name)
{
    struct reply reply;
    bool selected;

    client_info(&client, NBD_OPT_GO, name, NO_INFOS);
    do
        client_take(&client, NBD_OPT_GO, &reply);
    while (reply.type == NBD_REP_INFO);
    client_expect_end(&client, HANDSHAKE_TRANSMISSION);
    selected = client.talk.negotiated.contexts == META_CONTEXT_BIT(0);
    client_close(&client);
    return selected;
}

static void structured_replies_first(void)
{
    static const uint32_t options[] = { LIST, SET };

    client_start(&client);
    for (size_t i = 0; i < 2; i++) {
        client_contexts(&client, options[i], "db1", QUERIES("base:allocation"));
        client_expect_only(&client, options[i], NBD_REP_ERR_INVALID);
    }
    EXPECT(!selected_after_go("db1"));
}

static void list_without_queries(void)
{
    start();
    client_contexts(&client, LIST, "db1", NO_QUERIES);
    expect_base_allocation(LIST, 0);
    client_close(&client);
}

static void list_queries(void)
{
    start();
    client_contexts(&client, LIST, "db1", QUERIES("base:"));
    expect_base_allocation(LIST, 0);
    client_contexts(&client, LIST, "db1", QUERIES("base:allocation"));
    expect_base_allocation(LIST, 0);
    client_contexts(&client, LIST, "db1",
                    QUERIES("x-other:", "base:", "base:allocation", "base:allocation"));
    expect_base_allocation(LIST, 0);
    EXPECT(client.talk.negotiated.contexts == 0);
    client_close(&client);
}

static void unknown_queries(void)
{
    static const uint32_t options[] = { LIST, SET };

    start();
    for (size_t i = 0; i < 2; i++) {
        client_contexts(&client, options[i], "db1",
                        QUERIES("qemu:allocation-depth", "base:alloc", "base:allocation2", "x-y:z",
                                "BASE:allocation", "nocolon", "", ":", "base"));
        client_expect_only(&client, options[i], NBD_REP_ACK);
    }
    EXPECT(!selected_after_go("db1"));
}

static void set_selects(void)
{
    start();
    client_contexts(&client, SET, "db1", QUERIES("qemu:dirty-bitmap:x", "base:allocation"));
    expect_base_allocation(SET, NBD_CONTEXT_BASE_ALLOCATION_ID);
    EXPECT(selected_after_go("db1"));
}

static void set_ignores_the_wildcard(void)
{
    start();
    client_contexts(&client, SET, "db1", QUERIES("base:"));
    client_expect_only(&client, SET, NBD_REP_ACK);
    EXPECT(!selected_after_go("db1"));
}

static void set_without_queries(void)
{
    start();
    select_it("db1");
    client_contexts(&client, SET, "db1", NO_QUERIES);
    client_expect_only(&client, SET, NBD_REP_ACK);
    EXPECT(!selected_after_go("db1"));
}

static void set_for_another_export(void)
{
    start();
    select_it("big");
    EXPECT(!selected_after_go("db1"));
    start();
    select_it("big");
    select_it("db1");
    EXPECT(selected_after_go("db1"));
}

static void set_for_the_only_export(void)
{
    client_open_with(&client, client_exports, 1);
    client_greet(&client, CLIENT_FLAGS_ALL);
    client_option_empty(&client, NBD_OPT_STRUCTURED_REPLY);
    client_expect_only(&client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
    select_it("");
    EXPECT(selected_after_go(""));
}

static void export_name_keeps_them(void)
{
    uint8_t bytes[64];

    start();
    select_it("db1");
    client_send(&client, NBD_OPT_EXPORT_NAME, "db1", 3);
    fake_loop_run(client.loop);
    EXPECT(fake_socket_take(client.loop, client.fd, bytes, sizeof bytes) == 10);
    client_expect_end(&client, HANDSHAKE_TRANSMISSION);
    EXPECT(client.talk.negotiated.contexts == META_CONTEXT_BIT(0));
    EXPECT(client.talk.negotiated.context_export == NULL);
    client_close(&client);
}

static void list_changes_nothing(void)
{
    start();
    select_it("db1");
    client_contexts(&client, LIST, "big", NO_QUERIES);
    expect_base_allocation(LIST, 0);
    client_option_empty(&client, 99);
    client_expect_only(&client, 99, NBD_REP_ERR_UNSUP);
    EXPECT(selected_after_go("db1"));
}

static void unknown_export(void)
{
    start();
    client_contexts(&client, LIST, "db2", NO_QUERIES);
    client_expect_only(&client, LIST, NBD_REP_ERR_UNKNOWN);
    client_contexts(&client, SET, "db2", QUERIES("base:allocation"));
    client_expect_only(&client, SET, NBD_REP_ERR_UNKNOWN);
    EXPECT(!selected_after_go("db1"));
}

/* ---- contexts of the storage ---- */

static struct meta_contexts storage;
static struct export with_contexts[2];

static void add_context(const char *name)
{
    EXPECT(meta_contexts_add(&storage, name, strlen(name)) == META_CONTEXTS_ADDED);
}

/* "db1" has some, and "big" has none. */
static void start_with_contexts(void)
{
    meta_contexts_clear(&storage);
    add_context("qemu:allocation-depth");
    add_context("qemu:dirty-bitmap:b0");
    add_context("qemu:dirty-bitmap:b1");
    add_context("x-other:a:b");
    with_contexts[0] = client_exports[0];
    with_contexts[0].contexts = &storage;
    with_contexts[1] = client_exports[2];
    client_open_with(&client, with_contexts, 2);
    client_greet(&client, CLIENT_FLAGS_ALL);
    client_option_empty(&client, NBD_OPT_STRUCTURED_REPLY);
    client_expect_only(&client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
}

/* The contexts of these bits, in order, then ACK. */
static void expect_contexts(uint32_t option, uint32_t mask)
{
    for (unsigned i = 0; i <= storage.count; i++) {
        const char *name = i == 0 ? "base:allocation" : storage.names[i - 1];
        struct reply reply;

        if (!(mask & META_CONTEXT_BIT(i)))
            continue;
        client_take(&client, option, &reply);
        EXPECT(reply.type == NBD_REP_META_CONTEXT && reply.length_bytes == 4 + strlen(name));
        EXPECT(nbd_get_u32(reply.data) == (option == SET ? i + 1 : 0));
        EXPECT(!memcmp(reply.data + 4, name, strlen(name)));
    }
    client_expect_only(&client, option, NBD_REP_ACK);
}

static void storage_is_listed(void)
{
    static const struct {
        const char *query;
        uint32_t listed, set;
    } cases[] = {
        { "qemu:", 0x0e, 0 },
        { "qemu:dirty-bitmap:", 0x0c, 0 },
        { "qemu:dirty-bitmap:b1", 0x08, 0x08 },
        { "qemu:dirty-bitmap:b", 0, 0 },
        { "qemu:allocation-depth", 0x02, 0x02 },
        { "qemu", 0, 0 },
        { ":", 0, 0 },
        { "x-other:a:", 0x10, 0 },
        { "x-other:a:b", 0x10, 0x10 },
        { "base:", 0x01, 0 },
    };

    start_with_contexts();
    client_contexts(&client, LIST, "db1", NO_QUERIES);
    expect_contexts(LIST, 0x1f);
    client_contexts(&client, LIST, "big", NO_QUERIES);
    expect_contexts(LIST, 0x01);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        client_contexts(&client, LIST, "db1", QUERIES(cases[i].query));
        expect_contexts(LIST, cases[i].listed);
        client_contexts(&client, SET, "db1", QUERIES(cases[i].query));
        expect_contexts(SET, cases[i].set);
        EXPECT(client.talk.negotiated.contexts == cases[i].set);
        client_contexts(&client, SET, "big", QUERIES(cases[i].query));
        expect_contexts(SET, cases[i].set & 0x01);
    }
    client_close(&client);
}

static uint32_t contexts_after_go(void)
{
    struct reply reply;
    uint32_t contexts;

    client_info(&client, NBD_OPT_GO, "db1", NO_INFOS);
    do
        client_take(&client, NBD_OPT_GO, &reply);
    while (reply.type == NBD_REP_INFO);
    client_expect_end(&client, HANDSHAKE_TRANSMISSION);
    contexts = client.talk.negotiated.contexts;
    client_close(&client);
    return contexts;
}

/* By the same name, from a change of the configuration between both options. */
static void another_export_has_others(void)
{
    for (unsigned i = 0; i < 2; i++) {
        start_with_contexts();
        client_contexts(&client, SET, "db1",
                        QUERIES("qemu:dirty-bitmap:b0", "base:allocation", "x-other:a:b"));
        expect_contexts(SET, 0x15);
        with_contexts[0].id += 10 * i;
        EXPECT(contexts_after_go() == (i == 0 ? 0x15 : 0x01));
    }
}

static void add_hostile_names(void)
{
    static char longest[4097] = "x:";
    struct meta_contexts contexts = { .count = 0 };
    unsigned added = 0;

    memset(longest + 2, 'y', sizeof longest - 3);
    EXPECT(meta_contexts_add(&contexts, "x", 1) == META_CONTEXTS_BAD);
    EXPECT(meta_contexts_add(&contexts, "", 0) == META_CONTEXTS_BAD);
    EXPECT(meta_contexts_add(&contexts, ":y", 2) == META_CONTEXTS_BAD);
    EXPECT(meta_contexts_add(&contexts, "x:", 2) == META_CONTEXTS_BAD);
    EXPECT(meta_contexts_add(&contexts, "x:\0y", 4) == META_CONTEXTS_BAD);
    EXPECT(meta_contexts_add(&contexts, "x:\033[31m", 7) == META_CONTEXTS_BAD);
    EXPECT(meta_contexts_add(&contexts, "x:\xff", 3) == META_CONTEXTS_BAD);
    EXPECT(meta_contexts_add(&contexts, "base:allocation", 15) == META_CONTEXTS_OURS);
    EXPECT(meta_contexts_add(&contexts, "nbdcrypt:uuid:1", 15) == META_CONTEXTS_OURS);
    EXPECT(meta_contexts_add(&contexts, "x:y", 3) == META_CONTEXTS_ADDED);
    EXPECT(meta_contexts_add(&contexts, "x:y", 3) == META_CONTEXTS_KNOWN);
    EXPECT(meta_contexts_add(&contexts, longest, 4096) == META_CONTEXTS_ADDED);
    longest[2] = 'z';
    EXPECT(meta_contexts_add(&contexts, longest, 4096) == META_CONTEXTS_FULL);
    for (char name[] = "a:a"; *name <= 'z'; (*name)++)
        added += meta_contexts_add(&contexts, name, 3) == META_CONTEXTS_ADDED;
    EXPECT(added + 2 == META_CONTEXTS_MAX - 1 && contexts.count == META_CONTEXTS_MAX - 1);
    meta_contexts_clear(&contexts);
}

/* ---- what is no list of queries ---- */

#define RAW(text)             \
    {                         \
        sizeof text - 1, text \
    }

static const struct payload malformed[] = {
    RAW(""),
    RAW("\0\0\0"),
    RAW("\0\0\0\3db1"), /* no count */
    RAW("\0\0\0\3db1\0\0\0"),
    RAW("\0\0\0\3db1\0\0\0\1"), /* a query is missing */
    RAW("\0\0\0\3db1\0\0\0\1\0\0\0"),
    RAW("\0\0\0\3db1\0\0\0\1\0\0\0\5base"), /* it reaches beyond the end */
    RAW("\0\0\0\3db1\0\0\0\1\377\377\377\377base:"),
    RAW("\0\0\0\3db1\377\377\377\377\0\0\0\5base:"),
    RAW("\0\0\0\3db1\0\0\0\1\0\0\0\5base:x"), /* more than was counted */
    RAW("\0\0\0\3db1\0\0\0\0x"),
    RAW("\0\0\0\xff"
        "db1\0\0\0\0"),
    RAW("\377\377\377\377db1\0\0\0\0"),
    RAW("\0\0\0\3d\xff"
        "1\0\0\0\0"),                         /* not UTF-8 */
    RAW("\0\0\0\3db1\0\0\0\1\0\0\0\5ba\0e:"), /* NUL */
};

static void malformed_payloads(void)
{
    start();
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        client_option(&client, LIST, &malformed[i]);
        client_expect_only(&client, LIST, NBD_REP_ERR_INVALID);
        client_option(&client, SET, &malformed[i]);
        client_expect_only(&client, SET, NBD_REP_ERR_INVALID);
    }
    client_expect_silence(&client);
    client_close(&client);
}

static void string_longer_than_4096(void)
{
    static char text[4098];

    memset(text, 'q', 4097);
    start();
    client_contexts(&client, LIST, "db1", QUERIES(text));
    client_expect_only(&client, LIST, NBD_REP_ERR_INVALID);
    text[4096] = '\0';
    client_contexts(&client, LIST, "db1", QUERIES(text, "base:"));
    expect_base_allocation(LIST, 0);
    client_close(&client);
}

static void failed_set_forgets(void)
{
    static uint8_t too_big[40000];
    static const struct payload bad = RAW("\0\0\0\3db1");

    start();
    select_it("db1");
    client_option(&client, SET, &bad);
    client_expect_only(&client, SET, NBD_REP_ERR_INVALID);
    EXPECT(!selected_after_go("db1"));

    start();
    select_it("db1");
    client_contexts(&client, SET, "db2", QUERIES("base:allocation"));
    client_expect_only(&client, SET, NBD_REP_ERR_UNKNOWN);
    EXPECT(!selected_after_go("db1"));

    start();
    select_it("db1");
    client_send(&client, SET, too_big, sizeof too_big);
    fake_loop_run(client.loop);
    client_expect_only(&client, SET, NBD_REP_ERR_TOO_BIG);
    EXPECT(!selected_after_go("db1"));
}

static void reset_forgets_all(void)
{
    start();
    select_it("db1");
    negotiated_reset(&client.talk.negotiated);
    EXPECT(!client.talk.negotiated.structured_replies);
    EXPECT(client.talk.negotiated.context_export == NULL);
    EXPECT(!selected_after_go("db1"));
}

/* ---- transmission flags ---- */

static uint16_t flags_of(struct limits limits, bool structured)
{
    const struct export ex = { .name = "", .limits = limits };

    return handshake_transmission_flags(&ex, structured);
}

static void flags_of_everything(void)
{
    const struct limits all = {
        .ops = (1u << REQUEST_OP_COUNT) - 1, .fua = true, .multi_conn = true, .rotational = true
    };
    const struct limits read_only = { .ops = all.ops, .fua = true, .read_only = true };

    EXPECT(flags_of(all, true) == (1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 |
                                   1 << 8 | 1 << 10 | 1 << 11));
    EXPECT(flags_of((struct limits){ 0 }, false) == 1 << 0);
    EXPECT(flags_of(read_only, false) == (1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 10));
}

static void flags_one_by_one(void)
{
    EXPECT(flags_of((struct limits){ 0 }, true) == (1 << 0 | 1 << 7));
    EXPECT(flags_of((struct limits){ .fua = true }, false) == (1 << 0 | 1 << 3));
    EXPECT(flags_of((struct limits){ .ops = OP_BIT(REQUEST_FLUSH) }, false) == (1 << 0 | 1 << 2));
    EXPECT(flags_of((struct limits){ .ops = OP_BIT(REQUEST_FLUSH), .fua = true }, false) ==
           (1 << 0 | 1 << 2 | 1 << 3));
    EXPECT(flags_of((struct limits){ .ops = OP_BIT(REQUEST_TRIM) }, false) == (1 << 0 | 1 << 5));
    EXPECT(flags_of((struct limits){ .ops = OP_BIT(REQUEST_ZERO) }, false) ==
           (1 << 0 | 1 << 6 | 1 << 11));
    EXPECT(flags_of((struct limits){ .ops = OP_BIT(REQUEST_CACHE) }, false) == (1 << 0 | 1 << 10));
    EXPECT(flags_of((struct limits){ .ops = OP_BIT(REQUEST_WRITE) | OP_BIT(REQUEST_READ) |
                                            OP_BIT(REQUEST_EXTENTS) },
                    false) == 1 << 0);
    EXPECT(flags_of((struct limits){ .rotational = true }, false) == (1 << 0 | 1 << 4));
    EXPECT(flags_of((struct limits){ .multi_conn = true }, false) == (1 << 0 | 1 << 8));
    EXPECT(flags_of((struct limits){ .read_only = true }, false) == (1 << 0 | 1 << 1));
}

/* DF is there in INFO once structured replies are, and only then. */
static void flag_df_follows_structured_replies(void)
{
    struct reply reply;

    client_start(&client);
    for (int structured = 0; structured < 2; structured++) {
        client_info(&client, NBD_OPT_INFO, "db1", NO_INFOS);
        client_take(&client, NBD_OPT_INFO, &reply);
        EXPECT(!(nbd_get_u16(reply.data + 10) & NBD_FLAG_SEND_DF) == !structured);
        client_expect(&client, NBD_OPT_INFO, NBD_REP_INFO);
        client_expect_only(&client, NBD_OPT_INFO, NBD_REP_ACK);
        client_option_empty(&client, NBD_OPT_STRUCTURED_REPLY);
        client_expect_only(&client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
    }
    client_close(&client);
}

static const struct check checks[] = {
    { "contexts need structured replies first", structured_replies_first },
    { "LIST_META_CONTEXT without queries names all contexts", list_without_queries },
    { "LIST_META_CONTEXT knows base: and base:allocation", list_queries },
    { "unknown namespaces and leaf names match nothing", unknown_queries },
    { "SET_META_CONTEXT selects base:allocation", set_selects },
    { "SET_META_CONTEXT ignores the wildcard base:", set_ignores_the_wildcard },
    { "SET_META_CONTEXT without queries selects nothing", set_without_queries },
    { "contexts belong to the export they were set for", set_for_another_export },
    { "contexts of the empty name are those of the only export", set_for_the_only_export },
    { "EXPORT_NAME keeps the contexts", export_name_keeps_them },
    { "LIST_META_CONTEXT changes nothing", list_changes_nothing },
    { "contexts of the storage are listed and set by name, and listed by prefix",
      storage_is_listed },
    { "those of an export that was replaced are not those of the new one",
      another_export_has_others },
    { "names of contexts are clean, few, and not too long", add_hostile_names },
    { "contexts of an unknown export are ERR_UNKNOWN", unknown_export },
    { "malformed queries are ERR_INVALID", malformed_payloads },
    { "a query of 4097 bytes is ERR_INVALID, one of 4096 is not", string_longer_than_4096 },
    { "SET_META_CONTEXT replaces the contexts even when it fails", failed_set_forgets },
    { "a reset leaves nothing of what was negotiated", reset_forgets_all },
    { "all transmission flags, and none", flags_of_everything },
    { "each transmission flag by itself", flags_one_by_one },
    { "DF is offered only with structured replies", flag_df_follows_structured_replies },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
