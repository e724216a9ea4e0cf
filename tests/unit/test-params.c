/* Parameter tables: the command line, key=value pairs, sizes, help. */
#include <errno.h>

#include "server/base/params.h"
#include "tests/support/check.h"

struct target {
    bool raw, verbose;
    const char *key_file;
    uint64_t size_bytes;
    unsigned threads;
    struct param_list listen;
};

static const struct param table[] = {
    { .name = "raw",
      .type = PARAM_FLAG,
      .help = "no encryption",
      .offset = offsetof(struct target, raw) },
    { .name = "verbose",
      .letter = 'v',
      .type = PARAM_FLAG,
      .help = "talk",
      .offset = offsetof(struct target, verbose) },
    { .name = "key-file",
      .letter = 'k',
      .type = PARAM_STRING,
      .value = "FILE",
      .help = "where the key is",
      .offset = offsetof(struct target, key_file) },
    { .name = "size",
      .type = PARAM_SIZE,
      .value = "SIZE",
      .min = 512,
      .max = 1ull << 40,
      .help = "how large; this text is longer than a line can be, so that it has to be broken "
              "between two of its words",
      .offset = offsetof(struct target, size_bytes) },
    { .name = "threads",
      .letter = 't',
      .type = PARAM_UINT,
      .value = "N",
      .min = 1,
      .max = 64,
      .help = "how many",
      .offset = offsetof(struct target, threads) },
    { .name = "listen",
      .type = PARAM_LIST,
      .value = "ADDRESS-THAT-IS-LONG:PORT",
      .help = "where",
      .offset = offsetof(struct target, listen) },
    { 0 },
};

static struct target target;
static struct error err;

/* The arguments end with NULL. */
static int parse(int *first_operand, char **argv)
{
    int argc = 0;

    params_free(&target, table);
    target = (struct target){ 0 };
    err.text[0] = '\0';
    while (argv[argc])
        argc++;
    return params_parse_argv(&target, table, argc, argv, first_operand, &err);
}

#define ARGS(...) ((char *[]){ (char[]){ "serve" }, __VA_ARGS__, NULL })

static void expect_refused(const char *message, char **argv)
{
    int first_operand = -7;

    EXPECT(parse(&first_operand, argv) == -EINVAL);
    EXPECT_TEXT(err.text, message);
    EXPECT(first_operand == -7);
}

static void sizes(void)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {
        { "0", 0 },
        { "1", 1 },
        { "4096", 4096 },
        { "1K", 1024 },
        { "1k", 1024 },
        { "512M", 512ull << 20 },
        { "3G", 3ull << 30 },
        { "2T", 2ull << 40 },
        { "18446744073709551615", UINT64_MAX },
        { "16777215T", 16777215ull << 40 },
        { "007", 7 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t bytes = 99;

        EXPECT(params_parse_size(&bytes, rows[i].text, &err) == 0);
        EXPECT(bytes == rows[i].bytes);
    }
}

static void sizes_refused(void)
{
    static const char *const texts[] = { "",
                                         "K",
                                         "-1",
                                         "+1",
                                         " 1",
                                         "1 ",
                                         "1KK",
                                         "1KB",
                                         "1.5G",
                                         "0x10",
                                         "1P",
                                         "1\xc3\xa9",
                                         "18446744073709551616",
                                         "16777216T",
                                         "99999999999999999999999" };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        uint64_t bytes = 99;

        EXPECT(params_parse_size(&bytes, texts[i], &err) == -EINVAL);
        EXPECT(bytes == 99);
    }
    EXPECT(params_parse_size(&(uint64_t){ 0 }, "1.5G", &err) == -EINVAL);
    EXPECT_TEXT(err.text,
                "'1.5G' is not a size: write a number of bytes below 2^64, or one with K, M, "
                "G or T behind it (powers of 1024), such as 512M");
}

static void long_options(void)
{
    int first;
    char **argv = ARGS("--raw", "--key-file", "a", "--size=1M", "--threads", "4");

    EXPECT(parse(&first, argv) == 0 && first == 7);
    EXPECT(target.raw && target.size_bytes == 1 << 20 && target.threads == 4);
    EXPECT_TEXT(target.key_file, "a");
}

static void short_options(void)
{
    int first;

    EXPECT(parse(&first, ARGS("-vk", "-", "-t8")) == 0);
    EXPECT(target.verbose && target.threads == 8);
    EXPECT_TEXT(target.key_file, "-");
    EXPECT(parse(&first, ARGS("-vkfile")) == 0);
    EXPECT_TEXT(target.key_file, "file");
}

static void operands_move_back(void)
{
    int first;
    char **argv = ARGS("one", "--key-file", "a", "-", "-v", "--", "--raw", "two");

    EXPECT(parse(&first, argv) == 0 && first == 5);
    EXPECT(!target.raw && target.verbose);
    EXPECT_TEXT(argv[0], "serve");
    EXPECT_TEXT(argv[1], "--key-file");
    EXPECT_TEXT(argv[2], "a");
    EXPECT_TEXT(argv[3], "-v");
    EXPECT_TEXT(argv[4], "--");
    EXPECT_TEXT(argv[5], "one");
    EXPECT_TEXT(argv[6], "-");
    EXPECT_TEXT(argv[7], "--raw");
    EXPECT_TEXT(argv[8], "two");
    EXPECT(argv[9] == NULL);
}

static void no_arguments(void)
{
    char *argv[] = { (char[]){ "serve" }, NULL };
    int first;

    EXPECT(parse(&first, argv) == 0 && first == 1);
}

static void lists_keep_order(void)
{
    int first;

    EXPECT(parse(&first, ARGS("--listen", "a", "--listen=b", "--listen", "c")) == 0);
    EXPECT(target.listen.count == 3);
    EXPECT_TEXT(target.listen.items[0], "a");
    EXPECT_TEXT(target.listen.items[1], "b");
    EXPECT_TEXT(target.listen.items[2], "c");
    params_free(&target, table);
    EXPECT(target.listen.count == 0 && target.listen.items == NULL);
}

static void flags_with_values(void)
{
    int first;

    EXPECT(parse(&first, ARGS("--raw=no", "--verbose=yes")) == 0);
    EXPECT(!target.raw && target.verbose);
    EXPECT(parse(&first, ARGS("--raw=1")) == 0 && target.raw);
    EXPECT(parse(&first, ARGS("--raw", "--raw=0")) == 0 && !target.raw);
    expect_refused("--raw: 'maybe' is neither yes nor no", ARGS("--raw=maybe"));
}

static void unknown_options(void)
{
    expect_refused("unknown option '--keyfile': did you mean --key-file?", ARGS("--keyfile", "x"));
    expect_refused("unknown option '--Raw': did you mean --raw?", ARGS("--Raw"));
    expect_refused("unknown option '--verb': did you mean --verbose?", ARGS("--verb"));
    expect_refused("unknown option '--encryption'", ARGS("--encryption"));
    expect_refused("unknown option '--'", ARGS("--=x"));
    expect_refused("unknown option '-x'", ARGS("-vx"));
    expect_refused("unknown option '-size': options of several letters begin with two dashes",
                   ARGS("-size", "3"));
    expect_refused("unknown option '-size=3': options of several letters begin with two dashes",
                   ARGS("-size=3"));
}

/* None is better than a far one, or than one that takes a protection away. */
static void proposals_are_near(void)
{
    static const struct param rows[] = {
        { .name = "export" },
        { .name = "raw", .never_proposed = true },
        { .name = "run" },
        { .name = "threads" },
        { .name = "timeout" },
        { .name = "time" },
        { 0 },
    };
    static const struct {
        const char *typed, *meant;
    } near[] = {
        { "exprot", "export" }, { "Export", "export" },   { "rum", "run" },
        { "ru", "run" },        { "thredas", "threads" }, { "timeuot", "timeout" },
        { "tim", "timeout" },   { "tiem", "time" },
    };
    static const char *const far[] = { "port", "rax",  "raw-", "rate", "r",  "n",
                                       "open", "read", "",     "t",    "xe", "exptor-x" };

    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++)
        EXPECT_TEXT(params_nearest(rows, near[i].typed), near[i].meant);
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++)
        EXPECT(params_nearest(rows, far[i]) == NULL);
}

static void flags_are_counted(void)
{
    unsigned count = 0;
    const struct param row = { .name = "verbose", .letter = 'v', .type = PARAM_COUNT };

    EXPECT(params_set(&count, &row, NULL, &err) == 0 && count == 1);
    EXPECT(params_set(&count, &row, "yes", &err) == 0 && count == 2);
    EXPECT(params_set(&count, &row, "no", &err) == 0 && count == 0);
    EXPECT(params_set(&count, &row, "maybe", &err) == -EINVAL && count == 0);
}

static void bad_values(void)
{
    expect_refused("--key-file: a value is missing (FILE)", ARGS("--key-file"));
    expect_refused("--threads: a value is missing (N)", ARGS("-vt"));
    expect_refused("--threads: 'two' is not a whole number", ARGS("--threads", "two"));
    expect_refused("--threads: '-1' is not a whole number", ARGS("--threads=-1"));
    expect_refused("--threads: '' is not a whole number", ARGS("--threads="));
    expect_refused("--threads: 0 is too small: the least is 1", ARGS("--threads", "0"));
    expect_refused("--threads: 65 is too large: the most is 64", ARGS("--threads", "65"));
    expect_refused("--size: 511 is too small: the least is 512", ARGS("--size", "511"));
    expect_refused("--size: 2199023255552 is too large: the most is 1099511627776",
                   ARGS("--size", "2T"));
}

static int parse_pairs(const char *text, char separator)
{
    static char copy[256];

    params_free(&target, table);
    target = (struct target){ 0 };
    snprintf(copy, sizeof copy, "%s", text);
    return params_parse_pairs(&target, table, copy, separator, &err);
}

static void pairs_decode_percent(void)
{
    EXPECT(parse_pairs("key-file=/a%2Fb%26c%3d%25+d&threads=3&raw", '&') == 0);
    EXPECT_TEXT(target.key_file, "/a/b&c=%+d");
    EXPECT(target.threads == 3 && target.raw);
    EXPECT(parse_pairs("key%2dfile=x", '&') == 0);
    EXPECT_TEXT(target.key_file, "x");
    EXPECT(parse_pairs("", '&') == 0);
}

static void pairs_behind_commas_do_not(void)
{
    EXPECT(parse_pairs("key-file=/a%2Fb=c,raw=no,verbose", ',') == 0);
    EXPECT_TEXT(target.key_file, "/a%2Fb=c");
    EXPECT(!target.raw && target.verbose);
}

static void doubled_commas_are_part_of_values(void)
{
    EXPECT(parse_pairs("key-file=CN=a,,O=b,,,verbose", ',') == 0);
    EXPECT_TEXT(target.key_file, "CN=a,O=b,");
    EXPECT(target.verbose);
    EXPECT(parse_pairs("key-file=,,,,", ',') == 0);
    EXPECT_TEXT(target.key_file, ",,");
    EXPECT(parse_pairs("verbose,", ',') == -EINVAL);
}

static void bad_pairs(void)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "key-file=%zz", "'%zz' is no %XX: write a '%' itself as %25" },
        { "key-file=abc%4", "'%4' is no %XX: write a '%' itself as %25" },
        { "key-file=a%", "'%' is no %XX: write a '%' itself as %25" },
        { "key-file=a%00b", "%00 can't be part of a value" },
        { "raw&&verbose", "an option is empty: one is written key=value" },
        { "raw&", "an option is empty: one is written key=value" },
        { "=x", "an option is empty: one is written key=value" },
        { "keyfile=x", "unknown option 'keyfile': did you mean key-file?" },
        { "key-file", "key-file: a value is missing (FILE)" },
        { "threads=65", "threads: 65 is too large: the most is 64" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        EXPECT(parse_pairs(rows[i].text, '&') == -EINVAL);
        EXPECT_TEXT(err.text, rows[i].message);
    }
}

static void help_is_aligned(void)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);

    params_print_help(out, table);
    fclose(out);
    EXPECT_TEXT(text,
                "      --raw            no encryption\n"
                "  -v, --verbose        talk\n"
                "  -k, --key-file FILE  where the key is\n"
                "      --size SIZE      how large; this text is longer than a line can be, so\n"
                "                       that it has to be broken between two of its words\n"
                "  -t, --threads N      how many\n"
                "      --listen ADDRESS-THAT-IS-LONG:PORT\n"
                "                       where\n");
    free(text);
}

static void errors_nest(void)
{
    struct error inner = { "" };

    EXPECT(error_set(&inner, -EIO, "slot %d", 3) == -EIO);
    error_prefix(&inner, "export '%s': ", "db1");
    EXPECT_TEXT(inner.text, "export 'db1': slot 3");
    EXPECT(error_set(&inner, -EINVAL, "again: %s", inner.text) == -EINVAL);
    EXPECT_TEXT(inner.text, "again: export 'db1': slot 3");
    EXPECT(error_set(NULL, -EINVAL, "nobody asks") == -EINVAL);
    error_prefix(NULL, "nobody asks");
}

/* The middle goes: what failed and why are at the ends. */
static void long_errors_keep_their_ends(void)
{
    static const char reason[] = "': No such file or directory; look for it elsewhere";
    char name[3 * ERROR_TEXT_BYTES] = "";
    struct error told;

    while (strlen(name) + 3 < sizeof name)
        memcpy(name + strlen(name), "\xc3\xa4", 3);
    for (unsigned shift = 0; shift < 2; shift++) {
        error_set(&told, -ENOENT, "image%.*s '%s%s", (int)shift, "s", name, reason);
        EXPECT(strlen(told.text) < ERROR_TEXT_BYTES && strlen(told.text) > ERROR_TEXT_BYTES - 4);
        EXPECT(strncmp(told.text, "image", 5) == 0);
        EXPECT_TEXT(told.text + strlen(told.text) - strlen(reason), reason);
        EXPECT(strstr(told.text, "\xc3\xa4...\xc3\xa4") != NULL);
        error_prefix(&told, "export '%s': ", name);
        EXPECT(strncmp(told.text, "export", 6) == 0);
        EXPECT_TEXT(told.text + strlen(told.text) - strlen(reason), reason);
    }
    error_set(&told, -EIO, "%.*s", ERROR_TEXT_BYTES - 1, name); /* just fits */
    EXPECT(strlen(told.text) == ERROR_TEXT_BYTES - 1 && strstr(told.text, "...") == NULL);
}

static const struct check checks[] = {
    { "sizes take K, M, G and T, powers of 1024", sizes },
    { "what is no size, or 2^64 and more, is refused", sizes_refused },
    { "long options take their value behind a blank or '='", long_options },
    { "short options can be joined", short_options },
    { "operands move behind the options, in order", operands_move_back },
    { "an empty command line is fine", no_arguments },
    { "a list keeps the order of its values", lists_keep_order },
    { "a flag takes yes and no behind '='", flags_with_values },
    { "an unknown option is refused, and the nearest one proposed", unknown_options },
    { "what is proposed is near", proposals_are_near },
    { "flags can be counted", flags_are_counted },
    { "a missing or bad value is refused in a sentence", bad_values },
    { "pairs behind '?' decode %XX", pairs_decode_percent },
    { "pairs behind commas do not", pairs_behind_commas_do_not },
    { "doubled commas are part of values", doubled_commas_are_part_of_values },
    { "bad pairs are refused in a sentence", bad_pairs },
    { "help is aligned and at most 80 columns wide", help_is_aligned },
    { "errors are prefixed on the way up and cut at the end", errors_nest },
    { "an error that is too long loses its middle, not its reason", long_errors_keep_their_ends },
};

int main(int argc, char **argv)
{
    int status = CHECKS_RUN(checks, argc, argv);

    params_free(&target, table);
    return status;
}
