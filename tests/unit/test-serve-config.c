/* Configuration files of `serve`: each option has a key, and what is wrong is told with its line.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/access/access.h"
#include "server/serve/config-keys.h"
#include "server/serve/export-options.h"
#include "server/serve/serve-config.h"
#include "server/serve/serve-options.h"
#include "tests/support/check.h"

static char top[] = "/tmp/test-serve-config-XXXXXX";
static char main_file[64], drop_in[64], later_drop_in[64], value_file[64];
static struct serve_options options;
static struct error err;

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    EXPECT(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* The arguments end with NULL. */
static int parse(char **argv)
{
    int argc = 0;

    serve_options_free(&options);
    err.text[0] = '\0';
    while (argv[argc])
        argc++;
    return serve_options_parse(&options, argc, argv, &err);
}

#define PARSE(...) \
    parse((char *[]){ (char[]){ "serve" }, (char[]){ "--config" }, main_file, ##__VA_ARGS__, NULL })

static int parse_text(const char *text)
{
    put(main_file, text);
    return PARSE();
}

static void remove_drop_ins(void)
{
    (void)unlink(drop_in);
    (void)unlink(later_drop_in);
}

static const struct config_problem *problem(unsigned line)
{
    for (size_t i = 0; i < options.files.problems.count; i++)
        if (options.files.problems.items[i].place.line == line)
            return &options.files.problems.items[i];
    return NULL;
}

static void problem_is(unsigned line, const char *text)
{
    if (problem(line) == NULL)
        fprintf(stderr, "line %u: nothing is said\n", line);
    EXPECT(problem(line) != NULL);
    EXPECT_TEXT(problem(line)->text, text);
}

/* ---- each option ---- */

static const char *value_for(const struct param *row)
{
    switch (row->type) {
    case PARAM_FLAG:
    case PARAM_COUNT:
        return "yes";
    case PARAM_UINT:
        return "7";
    case PARAM_SIZE:
        return "5M";
    case PARAM_STRING:
    case PARAM_LIST:
        break;
    }
    if (strcmp(row->name, "allow") == 0 || strcmp(row->name, "metrics-allow") == 0)
        return "uid:0";
    if (strcmp(row->name, "listen") == 0)
        return "127.0.0.1:1";
    if (strcmp(row->name, "unix-mode") == 0)
        return "0660";
    return strcmp(row->name, "unix-group") == 0 ? "0" : "/x";
}

static bool same(const struct param *row, const void *a, const void *b)
{
    const char *one = (const char *)a + row->offset, *other = (const char *)b + row->offset;
    const struct param_list *list = (const void *)one, *other_list = (const void *)other;

    switch (row->type) {
    case PARAM_FLAG:
        return *(const bool *)one && *(const bool *)other;
    case PARAM_COUNT:
    case PARAM_UINT:
        return *(const unsigned *)one == *(const unsigned *)other;
    case PARAM_SIZE:
        return *(const uint64_t *)one == *(const uint64_t *)other;
    case PARAM_STRING:
        return strcmp(*(char *const *)one, *(char *const *)other) == 0;
    case PARAM_LIST:
        return list->count == 1 && other_list->count == 1 &&
               strcmp(list->items[0], other_list->items[0]) == 0;
    }
    return false;
}

/* `in_line` was read from the command line, `options` from a file. */
static void key_means(const struct config_keys *keys, const char *section, const struct param *row,
                      const void *in_line, const void *in_file)
{
    bool has_key = false;

    for (size_t i = 0; i < keys->count; i++)
        has_key |= keys->rows[i].offset == row->offset && keys->rows[i].type == row->type;
    if (!has_key || !same(row, in_line, in_file))
        fprintf(stderr, "[%s]: --%s\n", section, row->name);
    EXPECT(has_key);
    EXPECT(same(row, in_line, in_file));
}

static const char *key_for(const struct param *row, const char *section)
{
    struct config_keys keys;

    config_keys_of(&keys, section);
    for (size_t i = 0; i < keys.count; i++)
        if (keys.rows[i].offset == row->offset && keys.rows[i].type == row->type &&
            strcmp(keys.rows[i].help, row->help) == 0)
            return keys.rows[i].name;
    return NULL;
}

static void options_of_serve(void)
{
    unsigned count = 0;

    for (const struct param *row = serve_params; row->name; row++) {
        bool of_export = row->section != NULL && strcmp(row->section, CONFIG_EXPORT) == 0;
        const char *section = of_export ? CONFIG_DEFAULTS : row->section;
        struct serve_options in_line = { 0 };
        struct config_keys keys;
        char option[128], text[256];
        int first;

        if (section == NULL || (of_export && key_for(row, section) == NULL))
            continue;
        EXPECT(row->change != PARAM_CLI_ONLY && key_for(row, section) != NULL);
        config_keys_of(&keys, section);
        (void)snprintf(option, sizeof option, "--%s=%s", row->name, value_for(row));
        EXPECT(params_parse_argv(&in_line, serve_params, 2, (char *[]){ option, option, NULL },
                                 &first, NULL) == 0);
        (void)snprintf(text, sizeof text, "[%s]\n%s = %s\n", section, key_for(row, section),
                       value_for(row));
        (void)parse_text(text);
        key_means(&keys, section, row, &in_line, &options);
        params_free(&in_line, serve_params);
        count++;
    }
    EXPECT(count >= 40);
}

static void options_of_exports(void)
{
    for (const struct param *row = export_params; row->name; row++) {
        struct export_settings in_line = { 0 };
        struct config_keys keys;
        char option[128], text[256];

        config_keys_of(&keys, CONFIG_EXPORT);
        (void)snprintf(option, sizeof option, "%s=%s", row->name, value_for(row));
        EXPECT(params_parse_pairs(&in_line, export_params, option, ',', NULL) == 0);
        /* What goes with a key is that of [defaults] where an export has none. */
        (void)snprintf(text, sizeof text, "[export x]\nimage = /y\n%s%s = %s\n",
                       key_source_given(&in_line.key) == NULL ? "token = any\n" : "", row->name,
                       value_for(row));
        (void)parse_text(text);
        EXPECT(options.export_count == 1);
        key_means(&keys, CONFIG_EXPORT, row, &in_line, &options.exports[0]);
        params_free(&in_line, export_params);
    }
}

/* What is for the command line alone is known by name, so that a new option is thought of. */
static void command_line_only(void)
{
    static const char *const names[] = { "name",       "export",  "run",  "config",
                                         "config-dir", "verbose", "help", "limits" };
    unsigned count = 0;

    for (const struct param *row = serve_params; row->name; row++) {
        bool known = false;

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            known |= strcmp(names[i], row->name) == 0;
        if (known != (row->section == NULL))
            fprintf(stderr, "--%s\n", row->name);
        EXPECT(known == (row->section == NULL));
        EXPECT((row->section == NULL) == (row->change == PARAM_CLI_ONLY));
        count += known;
    }
    EXPECT(count == sizeof names / sizeof names[0]);
}

/* ---- what files mean together ---- */

static void exports(void)
{
    EXPECT(parse_text("[defaults]\n"
                      "raw = yes\n"
                      "allow = uid:1\n"
                      "[export vm 7]\n"
                      "image = memory:1M\n"
                      "read-only = yes\n"
                      "description = a [disk] = yes # really\n"
                      "[export plain]\n"
                      "name = \"\\x41\\\\\\\"\\xc3\\xa9 \"\n"
                      "image = memory:2M\n"
                      "allow = uid:2\n"
                      "allow = uid:3\n"
                      "[export default]\n"
                      "name = \"\"\n"
                      "image = memory:3M\n") == 0);
    EXPECT(options.export_count == 3);
    EXPECT_TEXT(options.exports[0].name, "vm 7");
    EXPECT_TEXT(options.exports[0].image, "memory:1M");
    EXPECT_TEXT(options.exports[0].description, "a [disk] = yes # really");
    EXPECT(options.exports[0].raw && options.exports[0].options.read_only);
    EXPECT(access_rule_count(options.exports[0].access) == 1);
    EXPECT_TEXT(access_rule_text(options.exports[0].access, 0), "uid:1");
    EXPECT_TEXT(options.exports[1].name, "A\\\"\xc3\xa9 ");
    EXPECT(access_rule_count(options.exports[1].access) == 2);
    EXPECT(!options.exports[1].options.read_only);
    EXPECT_TEXT(options.exports[2].name, "");
    EXPECT(!serve_options_are_strict(&options));
}

static void drop_ins(void)
{
    put(drop_in, "[export b]\nimage = memory:2M\nraw = yes\n"
                 "[export a]\nallow =\nallow = uid:2\nread-only = no\nheader =\n"
                 "metadata org.y =\n");
    put(later_drop_in, "[server]\nthreads = 9\n[export a]\nallow = uid:3\n");
    EXPECT(parse_text("[server]\nthreads = 3\n"
                      "[export a]\nimage = memory:1M\nread-only = yes\nheader = /h\n"
                      "allow = uid:1\nkey-file = /k\n"
                      "metadata org.x = {\"b\" : 1,  \"a\":2}\nmetadata org.y = text\n"
                      "metadata org.z = z\n") == 0);
    EXPECT(options.threads == 9 && options.export_count == 2);
    EXPECT_TEXT(options.exports[0].name, "a");
    EXPECT(!options.exports[0].options.read_only && options.exports[0].header == NULL);
    EXPECT(access_rule_count(options.exports[0].access) == 2);
    EXPECT_TEXT(access_rule_text(options.exports[0].access, 0), "uid:2");
    EXPECT_TEXT(access_rule_text(options.exports[0].access, 1), "uid:3");
    EXPECT(options.exports[0].metadata.count == 2);
    EXPECT_TEXT(export_metadata_find(&options.exports[0].metadata, "org.x")->value,
                "{\"b\" : 1,  \"a\":2}");
    EXPECT_TEXT(export_metadata_find(&options.exports[0].metadata, "org.z")->value, "z");
    EXPECT_TEXT(options.exports[1].name, "b");
    remove_drop_ins();
}

static void command_line_beats_files(void)
{
    put(main_file, "[server]\nthreads = 3\nmax-connections = 77\nlisten = 127.0.0.1:1\n"
                   "[defaults]\nkey-file = /k\nallow = uid:1\n"
                   "[export a]\nimage = memory:1M\n");
    char *argv[] = { (char[]){ "serve" },
                     (char[]){ "--config" },
                     main_file,
                     (char[]){ "--threads" },
                     (char[]){ "4" },
                     (char[]){ "--listen" },
                     (char[]){ "127.0.0.1:2" },
                     (char[]){ "--allow=uid:2" },
                     (char[]){ "--key-keyring=x" },
                     (char[]){ "--export" },
                     (char[]){ "b=memory:2M,read-only" },
                     NULL };
    EXPECT(parse(argv) == 0);
    EXPECT(options.threads == 4 && options.max_connections == 77);
    EXPECT(options.address_count == 1);
    EXPECT_TEXT(options.addresses[0].text, "127.0.0.1:2");
    EXPECT(options.export_count == 2);
    EXPECT_TEXT(options.exports[0].name, "b");
    EXPECT_TEXT(options.exports[1].name, "a");
    for (int i = 0; i < 2; i++) {
        EXPECT_TEXT(access_rule_text(options.exports[i].access, 0), "uid:2");
        EXPECT(access_rule_count(options.exports[i].access) == 1);
        EXPECT_TEXT(options.exports[i].key.keyring, "x");
        EXPECT(options.exports[i].key.file == NULL);
    }
    EXPECT(PARSE((char[]){ "--export" }, (char[]){ "a=memory:2M" }) == -EINVAL);
    problem_is(8, "export 'a' is there twice: each needs a name of its own; the other one is that "
                  "of the command line");
    EXPECT(PARSE((char[]){ "disk" }) == -EINVAL);
    EXPECT_TEXT(err.text, "'disk' and --config can't be used together: write --export NAME=disk");
    EXPECT(parse((char *[]){ (char[]){ "serve" }, (char[]){ "--config-dir=/x" }, NULL }) ==
           -EINVAL);
    EXPECT_TEXT(err.text, "--config-dir goes with --config FILE");
}

/* ---- groups of limits ---- */

static void groups(void)
{
    put(drop_in, "[limits gold]\nlimit-iops = 6000\n[export b]\nlimit-group = off\n");
    put(main_file, "[limits gold]\nlimit-iops = 5000\nburst-iops = 8000/3\n"
                   "[limits none yet]\nlimit-bandwidth = off\n"
                   "[defaults]\nraw = yes\nlimit-group = gold\n"
                   "[export a]\nimage = memory:1M\nweight = 300\n"
                   "[export b]\nimage = memory:1M\n");
    EXPECT(PARSE((char[]){ "--limits=iron,limit-read-iops=7,limit-io-size=4K" },
                 (char[]){ "--export" }, (char[]){ "c=memory:1M,limit-group=iron" }) == 0);
    EXPECT(options.limit_group_count == 3);
    EXPECT_TEXT(options.limit_groups[0].name, "iron");
    EXPECT(options.limit_groups[0].limits.iops[LIMIT_READ_IOPS] == 7);
    EXPECT(options.limit_groups[0].limits.io_size_bytes == 4096);
    EXPECT_TEXT(options.limit_groups[1].name, "gold");
    EXPECT(options.limit_groups[1].limits.iops[LIMIT_IOPS] == 6000);
    EXPECT_TEXT(options.limit_groups[1].limits.burst[LIMIT_IOPS], "8000/3");
    EXPECT_TEXT(options.limit_groups[2].name, "none yet");
    EXPECT_TEXT(options.exports[0].limit_group, "iron");
    EXPECT_TEXT(options.exports[1].limit_group, "gold");
    EXPECT(options.exports[1].weight == 300);
    EXPECT_TEXT(options.exports[2].limit_group, "off");
    remove_drop_ins();
    EXPECT(PARSE((char[]){ "--limits=gold,limit-iops=7" }) == -EINVAL);
    problem_is(4, "limits 'gold' are there twice: leave out one of the two");
}

static void bad_groups(void)
{
    EXPECT(parse_text("[limits gold]\n"         /* 1 */
                      "[limits]\n"              /* 2 */
                      "limit-iops = 5\n"        /* 3 */
                      "[limits off]\n"          /* 4 */
                      "limit-iops = 5\n"        /* 5 */
                      "[limits b]\n"            /* 6 */
                      "client-limit-iops = 4\n" /* 7 */
                      "limit-iosp = 4\n"        /* 8 */
                      "weight = 5\n"            /* 9 */
                      "limit-iops = many\n"     /* 10 */
                      "[limits c]\n"            /* 11 */
                      "burst-iops = 5/1\n"      /* 12 */
                      "[export a]\n"            /* 13 */
                      "image = memory:1M\n"     /* 14 */
                      "raw = yes\n"             /* 15 */
                      "limit-group = golf\n"    /* 16 */
                      "weight = 0\n"            /* 17 */
                      "[limits gold]\n"         /* 18 */
                      "limit-iops = 5\n") == -EINVAL);
    problem_is(2, "a group has a name: write [limits NAME]");
    problem_is(4, "limits 'off': no group is called off: that means none");
    problem_is(7, "limits 'b': unknown key 'client-limit-iops': it belongs into [defaults]");
    problem_is(8, "limits 'b': unknown key 'limit-iosp' (limit-iops?)");
    problem_is(9, "limits 'b': unknown key 'weight': it belongs into [defaults]");
    problem_is(10, "limits 'b': limit-iops: 'many' is not a whole number");
    problem_is(11, "limits 'c': burst-iops goes beyond limit-iops, which is not given");
    problem_is(13,
               "export 'a': limit-group: there is no group 'golf' (gold?): write [limits golf], "
               "or give --limits golf,limit-iops=N");
    problem_is(17, "export 'a': weight: 0 is too small: the least is 1");
    problem_is(18, "limits 'gold': it is there twice: in line 1, too");
    EXPECT(parse_text("[limits empty]\n[export a]\nimage = memory:1M\nraw = yes\n") == -EINVAL);
    problem_is(1, "limits 'empty': it limits nothing: give it a limit, such as limit-iops=5000, or "
                  "limit-iops=off");
}

/* ---- what is refused ---- */

static void all_at_once(void)
{
    char twice[256];

    EXPECT(parse_text("[server]\n"
                      "thread = 4\n"           /* 2 */
                      "threads = 3\n"          /* 3 */
                      "threads = 4\n"          /* 4 */
                      "listen = here\n"        /* 5 */
                      "run = x\n"              /* 6 */
                      "image = x\n"            /* 7 */
                      "unix x = /y\n"          /* 8 */
                      "[tls]\n"                /* 9 */
                      "tls-psk = /x\n"         /* 10 */
                      "[default]\n"            /* 11 */
                      "raw = yes\n"            /* 12 */
                      "[defaults x]\n"         /* 13 */
                      "description = x\n"      /* 14 */
                      "[export vm7]\n"         /* 15 */
                      "image = memory:1M\n"    /* 16 */
                      "alow = uid:0\n"         /* 17 */
                      "raw = perhaps\n"        /* 18 */
                      "allow = bogus\n"        /* 19 */
                      "listen = 127.0.0.1:1\n" /* 20 */
                      "[export vm8]\n"         /* 21 */
                      "[export vm7]\n"         /* 22 */
                      "[export]\n"             /* 23 */
                      "[export vm9]\n"         /* 24 */
                      "image = memory:1M\n"    /* 25 */
                      "raw = yes\n"            /* 26 */
                      "key-file = /k\n"        /* 27 */
                      "[export vm10]\n"        /* 28 */
                      "image = memory:1M\n"    /* 29 */
                      "name = vm9\n"           /* 30 */
                      "allow =\n"              /* 31 */
                      "description =\n") == -EINVAL);
    problem_is(2, "[server]: unknown key 'thread' (threads?)");
    problem_is(4, "[server]: threads is given twice: in line 3, too");
    EXPECT(strncmp(problem(5)->text, "[server]: listen here: ", 23) == 0);
    problem_is(6, "[server]: unknown key 'run': --run is for the command line alone");
    problem_is(7, "[server]: unknown key 'image': it belongs to one disk, into [export NAME]");
    problem_is(8, "[server]: unix: write it as one word: unix = VALUE");
    problem_is(10, "[tls]: unknown key 'tls-psk' (psk?)");
    problem_is(11, "unknown section [default] ([defaults]?)");
    problem_is(13, "there is one section [defaults]: it has no name");
    problem_is(14,
               "[defaults]: unknown key 'description': it belongs to one disk, into [export NAME]");
    problem_is(17, "export 'vm7': unknown key 'alow' (allow?)");
    problem_is(18, "export 'vm7': raw: 'perhaps' is neither yes nor no");
    problem_is(19, "export 'vm7': allow: bogus: a rule is 'any', or begins with cert:, dns:, uri:, "
                   "psk:, uid:, gid: or net:");
    problem_is(20, "export 'vm7': unknown key 'listen': it belongs into [server]");
    problem_is(21, "export 'vm8': it has no image: write image = IMAGE");
    problem_is(22, "export 'vm7': it is there twice: in line 15, too");
    problem_is(23, "an export has a name: write [export NAME]");
    problem_is(24, "export 'vm9': raw serves without LUKS, so key-file can't be used: leave out "
                   "one of the two");
    snprintf(twice, sizeof twice,
             "export 'vm9' is there twice: each needs a name of its own; the other one is in %s:24",
             main_file);
    problem_is(28, twice);
    problem_is(31, "export 'vm10': allow is emptied, and no rule follows: write allow = any if "
                   "everybody may attach, or leave it out");
    EXPECT(options.files.problems.count == 20);
    EXPECT(strstr(err.text, ": 20 things are wrong in the configuration") != NULL);
    for (size_t i = 1; i < options.files.problems.count; i++)
        EXPECT(options.files.problems.items[i - 1].place.line <
               options.files.problems.items[i].place.line);
}

static void sections_as_a_whole(void)
{
    EXPECT(parse_text("[export a]\nimage = memory:1M\nraw = yes\ntls-only = yes\n"
                      "[control]\nview = psk:x\n"
                      "[tls]\nmode = perhaps\n"
                      "[server]\nunix-mode = 0600\n[defaults]\nallow =\n") == -EINVAL);
    problem_is(12, "[defaults]: allow is emptied, and no rule follows: write allow = any if "
                   "everybody may attach, or leave it out");
    EXPECT(problem(1) != NULL && problem(5) != NULL && problem(7) != NULL && problem(9) != NULL);
    EXPECT(options.files.problems.count == 5);
}

/* `nbdcrypt check` and the service are started in different folders. */
static void whole_paths(void)
{
    static const char *const relative[] = { "disk.luks", "./disk.luks", "file:disk.luks" };
    static const char *const whole[] = { "/disk.luks", "file:/disk.luks", "rbd:pool/disk",
                                         "nbd://host/disk" };
    char text[256];

    for (size_t i = 0; i < sizeof relative / sizeof relative[0]; i++) {
        (void)snprintf(text, sizeof text, "[export a]\nimage = %s\nheader = %s\n", relative[i],
                       relative[i]);
        EXPECT(parse_text(text) == -EINVAL);
        problem_is(2, "export 'a': image: write a whole path, from / on");
        problem_is(3, "export 'a': header: write a whole path, from / on");
    }
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        (void)snprintf(text, sizeof text, "[export a]\nimage = %s\nheader = %s\n", whole[i],
                       whole[i]);
        EXPECT(parse_text(text) == 0);
    }
}

static void secrets(void)
{
    EXPECT(parse_text("[tls]\n"
                      "psk = alice:aa0123hunter2\n"                         /* 2 */
                      "key = hunter2\n"                                     /* 3 */
                      "[defaults]\n"                                        /* 4 */
                      "key-file = hunter2\n"                                /* 5 */
                      "passphrase = hunter2\n"                              /* 6 */
                      "[export a]\n"                                        /* 7 */
                      "image = nbds://me:hunter2@host/x\n"                  /* 8 */
                      "volume-key-file = hunter2\n"                         /* 9 */
                      "key-command = curl https://u:hunter2@vault/k\n"      /* 10 */
                      "password = hunter2\n"                                /* 11 */
                      "[export b]\n"                                        /* 12 */
                      "image = nbdkit:curl?url=http://x&password=hunter2\n" /* 13 */
                      "hunter2\n"                                           /* 14 */
                      "[export c]\n"                                        /* 15 */
                      "image = nbdkit:curl?url=http://x@y/a:b&password=+/etc/password\n"
                      "key-command = vault kv get https://vault:8200/user@example\n"
                      "key-file = -\n"
                      "allow = uri:spiffe://a:b@c\n") == -EINVAL);
    static const unsigned lines[] = { 2, 3, 5, 6, 8, 9, 10, 11, 13, 14 };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (problem(lines[i]) == NULL)
            fprintf(stderr, "line %u: nothing is said\n", lines[i]);
        EXPECT(problem(lines[i]) != NULL);
    }
    for (size_t i = 0; i < options.files.problems.count; i++)
        EXPECT(strstr(options.files.problems.items[i].text, "hunter2") == NULL);
    EXPECT(problem(16) == NULL && problem(17) == NULL && problem(18) == NULL &&
           problem(19) == NULL);
    EXPECT(strstr(problem(6)->text, "use key-file, key-command, key-credential") != NULL);
}

static void metadata(void)
{
    char text[512];

    put(value_file, "{\n\t\"a\": 1.10}\n");
    (void)snprintf(text, sizeof text,
                   "[export a]\nimage = memory:1M\nraw = yes\nmetadata-file org.a = %s\n"
                   "metadata https://b.example/x = a  b # c\n",
                   value_file);
    EXPECT(parse_text(text) == 0);
    EXPECT_TEXT(export_metadata_find(&options.exports[0].metadata, "org.a")->value,
                "{\n\t\"a\": 1.10}\n");
    EXPECT_TEXT(export_metadata_find(&options.exports[0].metadata, "https://b.example/x")->value,
                "a  b # c");
    (void)snprintf(text, sizeof text,
                   "[export a]\nimage = memory:1M\nraw = yes\nmetadata-file org.a = %s\n"
                   "metadata org.a = x\nmetadata = x\nmetadata-file org.b = /dev/zero\n"
                   "metadata-file org.c = /nowhere\nmetadata org.d = {\n"
                   "[defaults]\nmetadata org.a = x\n",
                   value_file);
    EXPECT(parse_text(text) == -EINVAL);
    problem_is(5, "export 'a': metadata org.a: this namespace is given twice: in line 4, too");
    EXPECT(strstr(problem(6)->text, "a namespace is a domain backwards") != NULL);
    problem_is(7, "export 'a': metadata-file org.b: /dev/zero is not a regular file");
    problem_is(8, "export 'a': metadata-file org.c: /nowhere: No such file or directory");
    EXPECT(strstr(problem(9)->text, "not one JSON object") != NULL);
    EXPECT(strstr(problem(11)->text, "it belongs to one disk") != NULL);
}

static void many(void)
{
    FILE *file;

    for (int surplus = 0; surplus < 2; surplus++) {
        file = fopen(main_file, "w");
        EXPECT(file != NULL);
        fprintf(file, "[defaults]\nraw = yes\n");
        for (unsigned i = 0; i < CONFIG_EXPORTS_MAX + (unsigned)surplus; i++)
            fprintf(file, "[export vm%u]\nimage = /srv/%u\nallow = uid:%u\n", i, i, i);
        EXPECT(fclose(file) == 0);
        EXPECT(PARSE() == (surplus == 0 ? 0 : -EINVAL));
        EXPECT(options.export_count == CONFIG_EXPORTS_MAX);
    }
    problem_is(2 + 3 * CONFIG_EXPORTS_MAX + 1, "there are more than 10000 exports");
    EXPECT(parse_text("[server]\nthreads = 2\n") == -EINVAL);
    EXPECT(options.files.problems.count == 1);
    EXPECT_TEXT(options.files.problems.items[0].text,
                "there is no export: write [export NAME] with image = IMAGE, or may-be-empty = yes "
                "below [server]");
    EXPECT(parse_text("[server]\nmay-be-empty = yes\n") == 0);
    EXPECT(options.export_count == 0);
}

static void clean_up(void)
{
    serve_options_free(&options);
    remove_drop_ins();
    (void)unlink(value_file);
    (void)unlink(main_file);
    char folder[64];
    (void)snprintf(folder, sizeof folder, "%s/conf.d", top);
    (void)rmdir(folder);
    (void)rmdir(top);
}

static const struct check checks[] = {
    { "each option of serve has a key that means the same", options_of_serve },
    { "each option of an export has a key that means the same", options_of_exports },
    { "what is for the command line alone is known by name", command_line_only },
    { "exports have names, images and what they inherit", exports },
    { "later files add to what earlier ones say, and take it back", drop_ins },
    { "the command line takes the place of files, and exports add up", command_line_beats_files },
    { "groups of limits come from files and the command line", groups },
    { "what is wrong with groups of limits is told", bad_groups },
    { "everything that is wrong is told, with its line, in order", all_at_once },
    { "what makes no sense together is told at its section", sections_as_a_whole },
    { "files are named with their whole path", whole_paths },
    { "secrets are refused, and not repeated", secrets },
    { "metadata comes as text and from files", metadata },
    { "there may be 10,000 exports, and at least one", many },
};

int main(int argc, char **argv)
{
    char folder[64];

    umask(022);
    EXPECT(mkdtemp(top) != NULL);
    EXPECT(atexit(clean_up) == 0);
    (void)snprintf(folder, sizeof folder, "%s/conf.d", top);
    EXPECT(mkdir(folder, 0700) == 0);
    (void)snprintf(main_file, sizeof main_file, "%s/main.conf", top);
    (void)snprintf(value_file, sizeof value_file, "%s/value", top);
    (void)snprintf(drop_in, sizeof drop_in, "%s/conf.d/1.conf", top);
    (void)snprintf(later_drop_in, sizeof later_drop_in, "%s/conf.d/2.conf", top);
    return CHECKS_RUN(checks, argc, argv);
}
