/* The plan of a reload: what comes, goes and changes, and what that takes. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/serve/config-keys.h"
#include "server/serve/config-plan.h"
#include "server/serve/serve-options.h"
#include "tests/support/check.h"

static char top[] = "/tmp/test-config-plan-XXXXXX";
static char file[2][64];
static struct serve_options options[2];
static struct config_plan plan;

static void load(int which, const char *text)
{
    FILE *out = fopen(file[which], "w");
    struct error err = { "" };
    char *argv[] = { (char[]){ "serve" }, (char[]){ "--config" }, file[which], NULL };

    EXPECT(out != NULL && fputs(text, out) >= 0 && fclose(out) == 0);
    serve_options_free(&options[which]);
    if (serve_options_parse(&options[which], 3, argv, &err) != 0) {
        config_problems_log(&options[which].files.problems);
        EXPECT_TEXT(err.text, "");
    }
}

static void compare(const char *before, const char *after)
{
    config_plan_free(&plan);
    load(0, before);
    load(1, after);
    EXPECT(config_plan_make(&plan, &options[0], &options[1], NULL) == 0);
}

static void line_is(size_t index, const char *expected)
{
    char *line;

    EXPECT(index < plan.count);
    line = config_plan_line(&plan, index, &options[1]);
    EXPECT(line != NULL);
    EXPECT_TEXT(line, expected);
    free(line);
}

#define A "[export a]\nimage = memory:1M\nraw = yes\n"
#define B "[export b]\nimage = memory:2M\nraw = yes\n"
#define C "[export c]\nimage = memory:3M\nraw = yes\n"

static void nothing(void)
{
    compare(A B, A B);
    EXPECT(plan.count == 0 && config_plan_allow(&plan, NULL, 0, NULL) == 0);
    compare(A B, B A);
    EXPECT(plan.count == 0);
    /* What is said elsewhere is the same. */
    compare("[defaults]\nallow = uid:1\nraw = yes\n[export a]\nimage = memory:1M\n",
            A "allow = uid:1\n");
    EXPECT(plan.count == 0);
}

static void come_and_go(void)
{
    compare(B C, A B);
    EXPECT(plan.count == 2);
    EXPECT(plan.items[0].before == PLAN_NONE && plan.items[0].after == 0);
    EXPECT(plan.items[1].before == 1 && plan.items[1].after == PLAN_NONE);
    line_is(0, "+ a           added: memory:1M");
    line_is(1, "- c           removed");
    EXPECT(config_plan_allow(&plan, NULL, 0, NULL) == 0);
}

static void change(void)
{
    const char *const replace[] = { "b", "a" }, *const unknown[] = { "disk" };
    struct error err;

    compare(A "allow = uid:1\ndescription = x\n" B C,
            A "allow = uid:2\nmetadata org.x = y\n" B "read-only = yes\ntls-only = no\n" C);
    EXPECT(plan.count == 2);
    line_is(0, "~ a           description, allow, metadata");
    EXPECT(plan.items[0].change == PARAM_LIVE && plan.items[0].before == 0);
    line_is(1, "! b           read-only no -> yes: opened anew, and its clients disconnected, with "
               "--replace b");
    EXPECT(plan.items[1].change == PARAM_REPLACE && plan.items[1].after == 1);
    EXPECT(config_plan_allow(&plan, NULL, 0, &err) == -EPERM);
    EXPECT_TEXT(err.text, "export 'b' would be opened anew, and its clients disconnected: name it "
                          "with --replace");
    EXPECT(config_plan_allow(&plan, replace, 1, NULL) == 0);
    EXPECT(config_plan_allow(&plan, replace, 2, &err) == -EINVAL);
    EXPECT_TEXT(err.text, "export 'a' does not have to be replaced");
    EXPECT(config_plan_allow(&plan, unknown, 1, &err) == -EINVAL);
    EXPECT_TEXT(err.text, "there is no export 'disk' that could be replaced");
}

static void inherited(void)
{
    compare(A "allow = uid:1\n[export d]\nimage = /d\ncipher = x\nkey-file = /k\n"
              "[export e]\nimage = /e\n",
            A "allow = uid:1\n[export d]\nimage = /d\ncipher = x\nkey-file = /k\n"
              "[export e]\nimage = /e\n"
              "[defaults]\nallow = uid:2\ncipher = y\nkey-file = /l\n");
    EXPECT(plan.count == 2);
    line_is(0, "~ d           allow");
    line_is(1, "! e           key-file, cipher, allow: opened anew, and its clients disconnected, "
               "with --replace e");
}

static void sections(void)
{
    compare("[server]\nthreads = 2\nlisten = 127.0.0.1:1\nmemory-max = 8M\n" A,
            "[server]\nthreads = 3\nlisten = 127.0.0.1:2\nmemory-max = 9M\n"
            "[tls]\npsk = /k\n" A);
    EXPECT(plan.count == 3);
    EXPECT_TEXT(plan.items[0].section, "server");
    EXPECT(plan.items[0].change == PARAM_LIVE && plan.items[0].key_count == 2);
    line_is(0, "~ [server]    listen, memory-max 8388608 -> 9437184");
    EXPECT_TEXT(plan.items[1].section, "server");
    EXPECT(plan.items[1].change == PARAM_RESTART && plan.items[1].key_count == 1);
    line_is(1, "! [server]    threads 2 -> 3: needs a restart (each has rings, buffers and "
               "pipelines of its own, and clients stay on theirs)");
    EXPECT(plan.items[2].change == PARAM_LIVE);
    line_is(2, "~ [tls]       psk");
    EXPECT(config_plan_allow(&plan, NULL, 0, NULL) == 0);
}

static void groups(void)
{
    compare(
        "[limits b]\nlimit-iops = 1\n[limits c]\nlimit-iops = 3\n[limits d]\nlimit-iops = 4\n" A,
        "[limits a]\nlimit-iops = 1\n[limits b]\nlimit-iops = off\nlimit-bandwidth = 1M\n"
        "[limits d]\nlimit-iops = 4\n" A "limit-group = b\n");
    EXPECT(plan.count == 4);
    line_is(0, "~ a           limit-group");
    line_is(1, "~ [limits b]  limit-iops 1 -> off, limit-bandwidth off -> 1048576");
    line_is(2, "- [limits c]  removed");
    line_is(3, "+ [limits a]  added");
    EXPECT(config_plan_allow(&plan, NULL, 0, NULL) == 0);
}

/* 0 is shown as what it means. */
static void words(void)
{
    compare(A "limit-iops = 5\nweight = 7\n", "[server]\nthreads = 3\nmemory-max = 8M\n" A);
    EXPECT(plan.count == 3);
    line_is(0, "~ a           limit-iops 5 -> off, weight 7 -> default");
    line_is(1, "~ [server]    memory-max default -> 8388608");
    line_is(2, "! [server]    threads default -> 3: needs a restart (each has rings, buffers and "
               "pipelines of its own, and clients stay on theirs)");
    compare("[server]\nshutdown-timeout = 5\n" A, "[server]\nshutdown-timeout = 0\n" A);
    line_is(0, "~ [server]    shutdown-timeout 5 -> 0"); /* a number as others */
}

/* Each key of an export makes a difference, and of a kind that is said. */
static void each_key(void)
{
    struct config_keys keys;

    config_keys_of(&keys, CONFIG_EXPORT);
    for (size_t i = 0; i < keys.count; i++) {
        const struct param *row = &keys.rows[i];
        struct serve_options before = { 0 }, after = { 0 };
        struct export_settings one = { .name = "x", .image = "i" }, other = one;
        const char *text = "5";

        if (strcmp(row->name, "name") == 0)
            continue;
        EXPECT(params_set(&other, row, row->type == PARAM_FLAG ? "yes" : text, NULL) == 0);
        other.demands = header_demands_meaning(&other.header_demands);
        before.exports = &one;
        after.exports = &other;
        before.export_count = after.export_count = 1;
        config_plan_free(&plan);
        EXPECT(config_plan_make(&plan, &before, &after, NULL) == 0);
        if (plan.count != 1)
            fprintf(stderr, "%s makes no difference\n", row->name);
        EXPECT(plan.count == 1 && plan.items[0].key_count == 1);
        EXPECT_TEXT(plan.items[0].keys[0].name, row->name);
        EXPECT(plan.items[0].change == PARAM_LIVE || plan.items[0].change == PARAM_REPLACE);
        config_plan_free(&plan);
        if (row->type == PARAM_LIST)
            free(((struct param_list *)((char *)&other + row->offset))->items);
    }
}

static void clean_up(void)
{
    config_plan_free(&plan);
    for (int i = 0; i < 2; i++) {
        serve_options_free(&options[i]);
        (void)unlink(file[i]);
    }
    (void)rmdir(top);
}

static const struct check checks[] = {
    { "what is the same has no plan, whatever the order", nothing },
    { "exports come and go", come_and_go },
    { "a change is live, or has to be asked for", change },
    { "what exports inherit is compared as theirs", inherited },
    { "the server's own sections are compared", sections },
    { "groups of limits come, go and change", groups },
    { "0 is shown as what it means", words },
    { "each key of an export makes a difference", each_key },
};

int main(int argc, char **argv)
{
    umask(022);
    EXPECT(mkdtemp(top) != NULL);
    EXPECT(atexit(clean_up) == 0);
    for (int i = 0; i < 2; i++)
        (void)snprintf(file[i], sizeof file[i], "%s/%d.conf", top, i);
    return CHECKS_RUN(checks, argc, argv);
}
