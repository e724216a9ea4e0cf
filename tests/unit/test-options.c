/* The command line of `nbdcrypt serve`: what it means, and what is refused. */
#include <arpa/inet.h>
#include <errno.h>

#include "server/access/access.h"
#include "server/serve/export-options.h"
#include "server/serve/serve-options.h"
#include "tests/support/check.h"

static struct serve_options options;
static struct error err;

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

#define ARGS(...) ((char *[]){ (char[]){ "serve" }, __VA_ARGS__, NULL })

static void expect_refused(const char *message, char **argv)
{
    EXPECT(parse(argv) == -EINVAL);
    EXPECT_TEXT(err.text, message);
}

static void one_image(void)
{
    const struct export_settings *settings;

    EXPECT(parse(ARGS("disk.luks")) == 0);
    EXPECT(options.export_count == 1);
    settings = &options.exports[0];
    EXPECT_TEXT(settings->name, "");
    EXPECT_TEXT(settings->image, "disk.luks");
    EXPECT(settings->description == NULL && settings->key.file == NULL && settings->header == NULL);
    EXPECT(!settings->raw && !settings->options.read_only && !settings->discard &&
           !settings->options.direct);
    EXPECT(options.threads == 0 && options.max_connections == 4096);
    EXPECT(options.handshake_timeout_seconds == 10 && options.run == NULL && !options.verbose);
    EXPECT(options.busy_wait_us == 50);
}

static void one_image_with_all(void)
{
    const struct export_settings *settings;

    EXPECT(parse(ARGS("--name", "db", "--description", "the database", "--key-file", "-",
                      "--header", "h", "--read-only", "--discard", "--zero-holes", "--direct",
                      "--threads", "3", "--max-connections", "5", "--handshake-timeout", "7",
                      "--busy-wait", "0", "--run", "true", "-v", "disk.luks")) == 0);
    settings = &options.exports[0];
    EXPECT_TEXT(settings->name, "db");
    EXPECT_TEXT(settings->description, "the database");
    EXPECT_TEXT(settings->key.file, "-");
    EXPECT_TEXT(settings->header, "h");
    EXPECT(settings->options.read_only && settings->discard && settings->options.direct &&
           !settings->raw);
    EXPECT(settings->zero_holes);
    EXPECT(options.threads == 3 && options.max_connections == 5);
    EXPECT(options.handshake_timeout_seconds == 7 && options.busy_wait_us == 0);
    EXPECT(options.verbose);
    EXPECT_TEXT(options.run, "true");
}

/* What one export says holds for it, whatever is said for all. */
static void discard_of_one_export(void)
{
    EXPECT(parse(ARGS("--no-discard", "--export", "a=x", "--export", "b=x,discard", "--export",
                      "c=x,raw")) == 0);
    EXPECT(options.exports[0].no_discard && !options.exports[0].discard);
    EXPECT(!options.exports[1].no_discard && options.exports[1].discard);
    EXPECT(!options.exports[2].no_discard && !options.exports[2].discard);
    EXPECT(parse(ARGS("--discard", "--export", "a=x", "--export", "b=x,no-discard")) == 0);
    EXPECT(!options.exports[0].no_discard && options.exports[0].discard);
    EXPECT(options.exports[1].no_discard && !options.exports[1].discard);
}

static void several_exports(void)
{
    const struct export_settings *settings;

    EXPECT(parse(ARGS("--export", "a=/x/a?k=v", "--export",
                      "=b,key-file=/k=1,header=/h,description=two words,read-only,discard,direct,"
                      "zero-holes",
                      "--export", "c=d,raw", "--key-file", "common")) == 0);
    EXPECT(options.export_count == 3);
    settings = options.exports;
    EXPECT_TEXT(settings[0].name, "a");
    EXPECT_TEXT(settings[0].image, "/x/a?k=v");
    EXPECT_TEXT(settings[0].key.file, "common");
    EXPECT(!settings[0].options.read_only && !settings[0].raw);
    EXPECT_TEXT(settings[1].name, "");
    EXPECT_TEXT(settings[1].image, "b");
    EXPECT_TEXT(settings[1].key.file, "/k=1");
    EXPECT_TEXT(settings[1].header, "/h");
    EXPECT_TEXT(settings[1].description, "two words");
    EXPECT(settings[1].options.read_only && settings[1].discard && settings[1].options.direct);
    EXPECT(settings[2].raw && settings[2].key.file == NULL);
    EXPECT(!settings[0].zero_holes && settings[1].zero_holes);
}

static void flags_for_all_exports(void)
{
    EXPECT(parse(ARGS("--read-only", "--raw", "--export", "a=x", "--export", "b=y,read-only=no",
                      "--export", "c=z,raw=no,key-file=k")) == 0);
    EXPECT(options.exports[0].options.read_only && options.exports[0].raw);
    EXPECT(!options.exports[1].options.read_only && options.exports[1].raw);
    EXPECT(options.exports[2].options.read_only && !options.exports[2].raw);
}

/* What is given once for all does not take the lists of an export away from their owner. */
static void common_ones_are_inherited(void)
{
    EXPECT(parse(ARGS("--tls", "on", "--tls-psk", "p", "--tls-only", "--force-in-use", "--cipher",
                      "c", "--export", "a=x", "--export", "b=y,tls-only=no,cipher=d")) == 0);
    EXPECT(options.exports[0].tls_only && !options.exports[1].tls_only);
    EXPECT(options.exports[0].options.terms.force_in_use);
    EXPECT(options.exports[0].demands.cipher_count == 1);
    EXPECT_TEXT(options.exports[0].demands.ciphers[0], "c");
    EXPECT_TEXT(options.exports[1].demands.ciphers[0], "d");
    EXPECT(parse(ARGS("--cipher", "c", "--allow", "uid:7", "x")) == 0);
    EXPECT_TEXT(options.exports[0].demands.ciphers[0], "c");
    expect_refused("export '' is tls-only, and there is no TLS: give --tls-certificates DIR or "
                   "--tls-psk FILE",
                   ARGS("--tls-only", "x"));
}

static const struct param *row(const struct param *table, const char *name)
{
    while (table->name != NULL && strcmp(table->name, name) != 0)
        table++;
    return table;
}

/* A configuration file has a place for each option that has a meaning beyond one start, and both
 * tables say the same of it. */
static void options_have_a_place_in_configuration_files(void)
{
    for (const struct param *param = serve_params; param->name; param++) {
        EXPECT(param->group != NULL);
        EXPECT((param->section == NULL) == (param->change == PARAM_CLI_ONLY));
    }
    for (const struct param *param = export_params; param->name; param++) {
        const struct param *common = row(serve_params, param->name);

        EXPECT_TEXT(param->section, "export");
        EXPECT(common->name != NULL && common->change == param->change);
        EXPECT(common->type == param->type);
        EXPECT_TEXT(common->help, param->help);
        EXPECT(common->offset == param->offset + offsetof(struct serve_options, common));
    }
}

static void addresses(void)
{
    const struct listen_address *at;

    EXPECT(parse(ARGS("--listen", "0.0.0.0:0", "--unix", "/run/a", "--listen", "[::1]:10810",
                      "--unix", "b", "--listen", "0.0.0.0:0", "x")) == 0);
    EXPECT(options.address_count == 5 && !options.address_is_default);
    at = options.addresses;
    EXPECT(at[0].address.any.sa_family == AF_UNIX);
    EXPECT_TEXT(at[0].address.local.sun_path, "/run/a");
    EXPECT(at[0].address_bytes == offsetof(struct sockaddr_un, sun_path) + 7);
    EXPECT_TEXT(at[1].address.local.sun_path, "b");
    EXPECT(at[2].address.any.sa_family == AF_INET && at[2].address.v4.sin_port == 0);
    EXPECT(at[3].address.any.sa_family == AF_INET6 && at[3].address.v6.sin6_port == htons(10810));
    EXPECT(IN6_IS_ADDR_LOOPBACK(&at[3].address.v6.sin6_addr));
    EXPECT_TEXT(at[3].text, "[::1]:10810");
}

static bool is_loopback(size_t index, uint16_t port)
{
    const struct listen_address *at = &options.addresses[index];

    return at->address.any.sa_family == AF_INET && at->address.v4.sin_port == htons(port) &&
           at->address.v4.sin_addr.s_addr == htonl(INADDR_LOOPBACK);
}

/* Nobody is let in from elsewhere who was not named. */
static void localhost_and_ports_are_the_loopback(void)
{
    EXPECT(parse(ARGS("--listen", "localhost:1234", "-p", "7", "x")) == 0);
    EXPECT(options.address_count == 2 && is_loopback(0, 1234) && is_loopback(1, 7));
    EXPECT(parse(ARGS("--port", "0", "-U", "s", "x")) == 0);
    EXPECT(options.address_count == 2 && is_loopback(1, 0));
    expect_refused("the address '127.0.0.1:7' is given twice",
                   ARGS("--listen", "localhost:7", "-p", "7", "x"));
    expect_refused("--port: 65536 is too large: the most is 65535", ARGS("-p", "65536", "x"));
}

static void letters_of_others(void)
{
    EXPECT(parse(ARGS("-rvve", "db", "-U", "s", "x")) == 0);
    EXPECT(options.exports[0].options.read_only && options.verbose == 2);
    EXPECT_TEXT(options.exports[0].name, "db");
    EXPECT_TEXT(options.unix_paths.items[0], "s");
}

static void default_address(void)
{
    EXPECT(parse(ARGS("x")) == 0);
    EXPECT(options.address_count == 1 && options.address_is_default);
    EXPECT(options.addresses[0].address.v4.sin_port == htons(10809));
    EXPECT(options.addresses[0].address.v4.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
}

static void help_wins(void)
{
    EXPECT(parse(ARGS("--help", "--raw", "--key-file", "x")) == 0 && options.help);
    EXPECT(parse(ARGS("-h")) == 0 && options.help);
}

static void bad_images(void)
{
    expect_refused("there is no IMAGE: name the file to serve, or use --export NAME=IMAGE",
                   ARGS("--raw"));
    expect_refused("there is no IMAGE: name the file to serve", ARGS(""));
    expect_refused("there are 2 images ('a', 'b'): write --export NAME=IMAGE for each",
                   ARGS("a", "b"));
    expect_refused("'a' and --export can't be used together: write --export NAME=a",
                   ARGS("--export", "x=y", "a"));
    expect_refused("--name is for a single IMAGE: with --export, write NAME=IMAGE",
                   ARGS("--export", "x=y", "--name", "z"));
    expect_refused("--description is for a single IMAGE: with --export, write "
                   "NAME=IMAGE,description=TEXT",
                   ARGS("--export", "x=y", "--description", "z"));
    expect_refused("--header is for a single IMAGE: with --export, write NAME=IMAGE,header=FILE",
                   ARGS("--export", "x=y", "--header", "z"));
}

static void raw_with_keys(void)
{
    expect_refused("--raw serves without LUKS, so --key-file can't be used: leave out one of the "
                   "two",
                   ARGS("--raw", "--key-file", "k", "a"));
    expect_refused("--raw serves without LUKS, so --header can't be used: leave out one of the two",
                   ARGS("--raw", "--header", "h", "a"));
    expect_refused("export 'x': raw serves without LUKS, so key-file can't be used: leave out one "
                   "of the two",
                   ARGS("--export", "x=y,raw,key-file=k"));
    expect_refused("export 'x': raw serves without LUKS, so key-file can't be used: leave out one "
                   "of the two",
                   ARGS("--raw", "--export", "x=y,key-file=k"));
    expect_refused("--key-file is used by no export: leave it out",
                   ARGS("--key-file", "k", "--export", "x=y,raw", "--export", "z=y,key-file=k"));
}

static void bad_exports(void)
{
    expect_refused("--export disk.img: write NAME=IMAGE, such as disk1=/path/to/disk",
                   ARGS("--export", "disk.img"));
    /* The name ends before the comma. */
    expect_refused("--export disk.img: write NAME=IMAGE, such as disk1=/path/to/disk",
                   ARGS("--export", "disk.img,key-file=k"));
    expect_refused("export 'a': there is no IMAGE: name the file to serve", ARGS("--export", "a="));
    expect_refused("export 'a': unknown option 'readonly': did you mean read-only?",
                   ARGS("--export", "a=b,readonly"));
    expect_refused("export 'a': key-file: a value is missing (FILE)",
                   ARGS("--export", "a=b,key-file"));
    expect_refused("export 'a': key-file is empty: give the name of a file, or leave it out",
                   ARGS("--export", "a=b,key-file="));
    expect_refused("export 'a' is there twice: each needs a name of its own",
                   ARGS("--export", "a=b", "--export", "c=d", "--export", "a=e"));
    expect_refused("standard input can hold only one key, and two exports want it: give each "
                   "export a key-file of its own",
                   ARGS("--key-file", "-", "--export", "a=b", "--export", "c=d"));
}

static void names_beyond_the_protocol(void)
{
    static char name[4098];

    memset(name, 'n', sizeof name - 1);
    expect_refused("the name has 4097 bytes: NBD allows 4096", ARGS("--name", name, "x"));
    name[4096] = '\0';
    EXPECT(parse(ARGS("--name", name, "x")) == 0);
    expect_refused("the name is not valid UTF-8, as NBD demands", ARGS("--name", "\xff", "x"));
    expect_refused("the description is not valid UTF-8, as NBD demands",
                   ARGS("--description", "\xc3", "x"));
    expect_refused("export '\xc3': the name is not valid UTF-8, as NBD demands",
                   ARGS("--export", "\xc3=x"));
}

static void bad_unix_paths(void)
{
    static char path[109];
    char message[256];

    memset(path, 'p', 108);
    snprintf(message, sizeof message,
             "--unix %s: the path has 108 bytes, and the system allows 107: use a shorter one",
             path);
    expect_refused(message, ARGS("--unix", path, "x"));
    path[107] = '\0';
    EXPECT(parse(ARGS("--unix", path, "x")) == 0);
    expect_refused("--unix: the path is empty", ARGS("--unix", "", "x"));
    expect_refused("the address 's' is given twice", ARGS("--unix", "s", "--unix", "s", "x"));
}

static void bad_tcp_addresses(void)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        { "127.0.0.1", "there is no port" },
        { "[::1]", "there is no port" },
        { "", "there is no port" },
        { "::1:10809", "an IPv6 address needs brackets" },
        { "127.0.0.1:", "the port is not a number from 0 to 65535" },
        { "127.0.0.1:nbd", "the port is not a number from 0 to 65535" },
        { "127.0.0.1:65536", "the port is not a number from 0 to 65535" },
        { "127.0.0.1:-1", "the port is not a number from 0 to 65535" },
        { "127.0.0.1:000080", "the port is not a number from 0 to 65535" },
        { "1:10809", "this is not a numeric address" },
        { ":10809", "this is not a numeric address" },
        { "localhosts:10809", "this is not a numeric address" },
        { "[localhost]:10809", "this is not a numeric address" },
        { "[127.0.0.1]:10809", "this is not a numeric address" },
        { "[]:10809", "this is not a numeric address" },
        { "[::g]:10809", "this is not a numeric address" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64], message[256];

        snprintf(text, sizeof text, "%s", rows[i].text);
        snprintf(message, sizeof message,
                 "--listen %s: %s; write it as 127.0.0.1:10809 or [::1]:10809", text, rows[i].why);
        expect_refused(message, ARGS("--listen", text, "x"));
    }
    expect_refused("the address '127.0.0.1:1' is given twice",
                   ARGS("--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1", "x"));
}

static void bad_numbers(void)
{
    expect_refused("--threads: 0 is too small: the least is 1", ARGS("--threads", "0", "x"));
    expect_refused("--max-connections: 0 is too small: the least is 1",
                   ARGS("--max-connections=0", "x"));
    expect_refused("--handshake-timeout: 3601 is too large: the most is 3600",
                   ARGS("--handshake-timeout", "3601", "x"));
    expect_refused("--run: the command is empty", ARGS("--run", "", "x"));
    expect_refused("unknown option '--compress'", ARGS("--compress", "on", "x"));
    expect_refused("unknown option '--readonly': did you mean --read-only?",
                   ARGS("--readonly", "x"));
}

static void help_names_every_option(void)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);

    serve_options_print_help(out);
    fclose(out);
    for (const struct param *param = serve_params; param->name; param++) {
        char option[64];

        snprintf(option, sizeof option, " --%s", param->name);
        EXPECT(strstr(text, option));
    }
    for (char *line = text; *line; line = strchr(line, '\n') + 1)
        EXPECT(strcspn(line, "\n") <= 80);
    free(text);
}

static const char *rule(size_t export, size_t index)
{
    return access_rule_text(options.exports[export].access, index);
}

static void rules_are_those_of_the_export_or_the_common_ones(void)
{
    EXPECT(parse(ARGS("a")) == 0 && options.exports[0].access == NULL);
    EXPECT(parse(ARGS("--allow", "uid:7", "--allow=gid:8", "a")) == 0);
    EXPECT(access_rule_count(options.exports[0].access) == 2);
    EXPECT_TEXT(rule(0, 0), "uid:7");
    EXPECT_TEXT(rule(0, 1), "gid:8");
    EXPECT(parse(ARGS("--allow", "uid:7", "--export",
                      "a=b,,c,allow=cert:CN=vm7,,O=Example&net:10.0.0.0/8,read-only,allow=uid:9",
                      "--export", "b=c", "--export", "c=d,allow=any")) == 0);
    EXPECT_TEXT(options.exports[0].image, "b,c");
    EXPECT(options.exports[0].options.read_only);
    EXPECT(access_rule_count(options.exports[0].access) == 2);
    EXPECT_TEXT(rule(0, 0), "cert:CN=vm7,O=Example&net:10.0.0.0/8");
    EXPECT_TEXT(rule(0, 1), "uid:9");
    EXPECT(access_rule_count(options.exports[1].access) == 1);
    EXPECT_TEXT(rule(1, 0), "uid:7");
    EXPECT(options.exports[2].access == NULL);
}

static const struct check checks[] = {
    { "rules are those of the export, or the common ones",
      rules_are_those_of_the_export_or_the_common_ones },
    { "one IMAGE is the default export", one_image },
    { "every option of one IMAGE arrives", one_image_with_all },
    { "several exports have settings of their own", several_exports },
    { "localhost and a port are the loopback", localhost_and_ports_are_the_loopback },
    { "letters are those of nbdkit and qemu-nbd", letters_of_others },
    { "exports inherit what is given once for all", common_ones_are_inherited },
    { "each option has its place in configuration files",
      options_have_a_place_in_configuration_files },
    { "what one export says of discard holds for it", discard_of_one_export },
    { "common flags apply to every export, which may take them back", flags_for_all_exports },
    { "Unix and TCP addresses become socket addresses", addresses },
    { "without an address it is 127.0.0.1:10809", default_address },
    { "--help comes before all checks", help_wins },
    { "no image, two images, or IMAGE beside --export are refused", bad_images },
    { "raw with a key or a header is refused", raw_with_keys },
    { "a bad --export is refused", bad_exports },
    { "names of more than 4096 bytes or not UTF-8 are refused", names_beyond_the_protocol },
    { "a socket path that is too long is refused with the limit", bad_unix_paths },
    { "a bad TCP address is refused", bad_tcp_addresses },
    { "numbers out of range and unknown options are refused", bad_numbers },
    { "help names every option within 80 columns", help_names_every_option },
};

int main(int argc, char **argv)
{
    int status = CHECKS_RUN(checks, argc, argv);

    serve_options_free(&options);
    return status;
}
