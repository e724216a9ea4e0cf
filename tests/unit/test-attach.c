/* nbdcrypt attach: names of devices and links, what is attached, lines of nbdtab, and which disk
 * may take the place of another. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/attach/attach-record.h"
#include "server/attach/attach-target.h"
#include "server/attach/nbd-device.h"
#include "server/attach/nbd-receivers.h"
#include "server/attach/nbdtab.h"
#include "server/attach/supervisor.h"
#include "server/nbd/nbd-wire.h"
#include "tests/support/check.h"

static struct error err;

/* ---- names ---- */

static void devices(void)
{
    static const char *const bad[] = { "",           "nbd",        "nbd01", "nbd3p1",
                                       "/dev/nbd",   "sda",        "nbd-1", "/dev/../nbd3",
                                       "nbd1048576", "/dev/nbd3x", "nbd3 ", "nbd999999999999" };
    unsigned index = 99;

    EXPECT(nbd_device_parse(&index, "nbd0", &err) == 0 && index == 0);
    EXPECT(nbd_device_parse(&index, "/dev/nbd12", &err) == 0 && index == 12);
    EXPECT(nbd_device_parse(&index, "nbd1048575", &err) == 0 && index == 1048575);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT(nbd_device_parse(&index, bad[i], &err) == -EINVAL);
    EXPECT(strstr(err.text, "write it as nbd3 or /dev/nbd3") != NULL);
}

/* As Linux 6.1 and 6.12 write them. */
static void receivers(void)
{
    static const struct {
        const char *line;
        enum nbd_receiver receiver;
    } rows[] = {
        { "88 (kworker/u5:1+nbd7-recv) S 2 0 0 0 -1", NBD_RECEIVER_WORKS },
        { "102 (nbd7-recv+nbd7-recv) S 2 0 0 0 -1", NBD_RECEIVER_WORKS },
        { "102 (kworker/R-nbd7-+nbd7-recv) S 2 0 0 0", NBD_RECEIVER_WORKS },
        { "102 (nbd7-recv) I 2 0 0 0 -1", NBD_RECEIVER_OTHER },
        { "88 (kworker/u5:1-nbd7-recv) I 2 0 0 0 -1", NBD_RECEIVER_OTHER },
        { "88 (kworker/u5:1+nbd17-recv) S 2 0 0 0 -1", NBD_RECEIVER_OTHER },
        { "88 (kworker/u5:1+nbd7-recv) S 20 0 0 0 -1", NBD_RECEIVER_NO_THREAD },
        { "88 (+nbd7-recv) S 1 0 0 0 -1", NBD_RECEIVER_NO_THREAD },
        { "88 (x) S 2 (+nbd7-recv) S 1 0 0 0 -1", NBD_RECEIVER_NO_THREAD },
        { "88 (", NBD_RECEIVER_NO_THREAD },
        { "88 )(", NBD_RECEIVER_NO_THREAD },
        { "88 (x)", NBD_RECEIVER_NO_THREAD },
        { "", NBD_RECEIVER_NO_THREAD },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        EXPECT(nbd_receivers_parse(rows[i].line, 7) == rows[i].receiver);
}

static void links(void)
{
    static const struct {
        const char *name, *link;
    } rows[] = {
        { "vm7", "vm7" },
        { "a b/c", "a\\x20b\\x2fc" },
        { "../../etc", "\\x2e.\\x2f..\\x2fetc" },
        { "\xc3\xbc", "\\xc3\\xbc" },
        { "back\\slash", "back\\x5cslash" },
    };
    char link[ATTACH_LINK_BYTES], name[3000];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        attach_record_link(link, rows[i].name);
        EXPECT_TEXT(link, rows[i].link);
    }
    memset(name, '/', sizeof name);
    name[sizeof name - 1] = '\0';
    attach_record_link(link, name);
    EXPECT(strlen(link) < ATTACH_LINK_BYTES && strchr(link, '/') == NULL);
}

static void targets(void)
{
    struct attach_target target;

    EXPECT(attach_target_parse(&target, "vm7", &err) == 0);
    EXPECT(target.local);
    EXPECT_TEXT(target.export_name, "vm7");
    attach_target_free(&target);
    EXPECT(attach_target_parse(&target, "nbds://u@h/vm%207?tls-psk-file=/k", &err) == 0);
    EXPECT(!target.local && target.uri.tls);
    EXPECT_TEXT(target.export_name, "vm 7");
    attach_target_free(&target);
    EXPECT(attach_target_parse(&target, "", &err) == -EINVAL);
    EXPECT(attach_target_parse(&target, "a\nb", &err) == -EINVAL);
    EXPECT(attach_target_parse(&target, "http://x/", &err) == -EINVAL);
}

/* The process that dials again is in another folder than who called it. */
static void paths(void)
{
    static const char *const bad[] = {
        "nbd+unix:///vm7?socket=nbd.sock",
        "nbds://h/vm7?tls-certificates=pki/clients/vm7",
        "nbds://u@h/vm7?tls-psk-file=./keys.psk",
    };
    struct attach_options options = attach_options_default;
    struct attach_target target;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT(attach_target_parse(&target, bad[i], &err) == -EINVAL);
    EXPECT(strstr(err.text, "tls-psk-file './keys.psk' does not begin with /") != NULL);
    options.socket = "control";
    EXPECT(attach_options_check(&options, &err) == -EINVAL);
    options.socket = "/run/control";
    EXPECT(attach_options_check(&options, &err) == 0);
}

/* ---- nbdtab ---- */

static void lines(void)
{
    struct attach_options options = attach_options_default;
    struct nbdtab_line line;

    EXPECT(nbdtab_parse(&line, "\n", &err) == 0);
    EXPECT(nbdtab_parse(&line, "  # vm7 vm7\n", &err) == 0);
    EXPECT(nbdtab_parse(&line, " vm7\tnbd://h/x \n", &err) == 1);
    EXPECT_TEXT(line.name, "vm7");
    EXPECT_TEXT(line.source, "nbd://h/x");
    EXPECT(line.options == NULL);
    nbdtab_free(&line);
    EXPECT(nbdtab_parse(&line, "vm7 vm7 timeout=off,connections=2,read-only,device=nbd3,noauto",
                        &err) == 1);
    EXPECT(nbdtab_options(&options, &line, &err) == 0);
    EXPECT(options.timeout_seconds == 0 && options.connections == 2 && options.read_only &&
           options.no_auto);
    EXPECT(options.dead_timeout_seconds == attach_options_default.dead_timeout_seconds);
    EXPECT_TEXT(options.device, "nbd3");
    nbdtab_free(&line);
    EXPECT(nbdtab_parse(&line, "vm7\n", &err) == -EINVAL);
    EXPECT_TEXT(err.text,
                "'vm7': a line is NAME, EXPORT or URI, and options with commas between them");
    EXPECT(nbdtab_parse(&line, "vm7 vm7 read-only noauto\n", &err) == -EINVAL);
    EXPECT(nbdtab_parse(&line, "vm7 vm7 connectoins=2", &err) == 1);
    EXPECT(nbdtab_options(&options, &line, &err) == -EINVAL);
    EXPECT(strstr(err.text, "connections") != NULL);
    nbdtab_free(&line);
}

static void read_all(const char *path, char *out, size_t room_bytes)
{
    FILE *file = fopen(path, "re");
    size_t length = file != NULL ? fread(out, 1, room_bytes - 1, file) : 0;

    out[length] = '\0';
    if (file != NULL)
        (void)fclose(file);
}

/* What others wrote stays, wrong or not. */
static void file(void)
{
    char folder[] = "/tmp/nbdcrypt-test-attach.XXXXXX", path[64], text[512];
    struct attach_options options = attach_options_default;
    struct nbdtab_line line;

    EXPECT(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/nbdtab", folder);
    EXPECT(nbdtab_find(&line, path, "vm7", &err) == 0);
    EXPECT(nbdtab_put(path, "vm7", NULL, NULL, &err) == 0 && access(path, F_OK) != 0);
    FILE *out = fopen(path, "we");
    EXPECT(out != NULL && fputs("# mine\nother x noauto\nwrong\nvm7 old", out) > 0 &&
           fclose(out) == 0);
    options.timeout_seconds = 0;
    options.read_only = true;
    EXPECT(nbdtab_put(path, "vm7", "nbd://h/y", &options, &err) == 0);
    read_all(path, text, sizeof text);
    EXPECT_TEXT(text, "# mine\nother x noauto\nwrong\nvm7 nbd://h/y timeout=off,read-only\n");
    EXPECT(nbdtab_find(&line, path, "other", &err) == 1);
    EXPECT_TEXT(line.options, "noauto");
    nbdtab_free(&line);
    EXPECT(nbdtab_find(&line, path, "wrong", &err) == -EINVAL &&
           strstr(err.text, "nbdtab:3: ") != NULL);
    EXPECT(nbdtab_find(&line, path, "wron", &err) == 0);
    EXPECT(nbdtab_find(&line, path, "vm7", &err) == 1);
    nbdtab_free(&line);
    EXPECT(nbdtab_put(path, "vm7", NULL, NULL, &err) == 0);
    read_all(path, text, sizeof text);
    EXPECT_TEXT(text, "# mine\nother x noauto\nwrong\n");
    EXPECT(nbdtab_put(path, "a b", "x", &options, &err) == -EINVAL);
    EXPECT(nbdtab_put(path, "#a", "x", &options, &err) == -EINVAL);
    EXPECT(unlink(path) == 0 && rmdir(folder) == 0);
}

/* Whatever stands there: a link is not replaced, and bytes that are no text stay. */
static void odd_file(void)
{
    static const char before[] = "a x\n\0b y\n\0\nvm7 old\nvm7 older";
    static const char after[] = "a x\n\0b y\n\0\nvm7 vm7 noauto\n";
    char folder[] = "/tmp/nbdcrypt-test-attach.XXXXXX", path[64], link[64], text[512] = "";
    struct attach_options options = attach_options_default;
    struct stat found;

    EXPECT(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/real", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    FILE *out = fopen(path, "we");
    EXPECT(out != NULL && fwrite(before, 1, sizeof before - 1, out) == sizeof before - 1 &&
           fclose(out) == 0);
    EXPECT(symlink("real", link) == 0);
    options.no_auto = true;
    EXPECT(nbdtab_put(link, "vm7", "vm7", &options, &err) == 0);
    EXPECT(lstat(link, &found) == 0 && S_ISLNK(found.st_mode));
    read_all(path, text, sizeof text);
    EXPECT(memcmp(text, after, sizeof after) == 0);
    options.socket = "/a b";
    EXPECT(nbdtab_put(link, "vm7", "vm7", &options, &err) == -EINVAL);
    options.socket = "/a,b";
    EXPECT(nbdtab_put(link, "vm7", "vm7", &options, &err) == -EINVAL);
    read_all(path, text, sizeof text);
    EXPECT(memcmp(text, after, sizeof after) == 0);
    EXPECT(unlink(link) == 0 && unlink(path) == 0 && rmdir(folder) == 0);
}

/* ---- which disk ---- */

static void disks(void)
{
    enum { ABLE = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA };
    static const struct {
        struct export_info info;
        const char *uuid, *message; /* NULL: it may */
    } rows[] = {
        { { .size_bytes = 4096, .flags = ABLE }, "u", NULL },
        { { .size_bytes = 8192, .flags = ABLE | NBD_FLAG_SEND_TRIM }, "u", NULL },
        { { .size_bytes = 4096, .flags = ABLE }, "v", "another disk" },
        { { .size_bytes = 4096, .flags = ABLE }, "", "another disk" },
        { { .size_bytes = 4095, .flags = ABLE }, "u", "smaller" },
        { { .size_bytes = 4096, .flags = ABLE | NBD_FLAG_READ_ONLY }, "u", "only be read" },
        { { .size_bytes = 4096, .flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FUA },
          "u",
          "can't flush" },
    };
    const struct attach_record record = { .uuid = "u", .size_bytes = 4096, .flags = ABLE };
    const struct attach_record reader = { .uuid = "u",
                                          .size_bytes = 4096,
                                          .flags = ABLE | NBD_FLAG_READ_ONLY };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int result = supervisor_compare(&record, &rows[i].info, rows[i].uuid, &err);

        EXPECT(result == (rows[i].message != NULL ? -ESTALE : 0));
        EXPECT(rows[i].message == NULL || strstr(err.text, rows[i].message) != NULL);
    }
    EXPECT(supervisor_compare(&reader, &rows[5].info, "u", &err) == 0);
}

static const struct check checks[] = {
    { "a device is nbdN or /dev/nbdN", devices },
    { "threads of the kernel are known by the work that they do", receivers },
    { "links have only characters that udev bears", links },
    { "what has :// is a URI, all else the name of an export", targets },
    { "a relative path is refused, which is another one when it is needed again", paths },
    { "a line of nbdtab is a name, a source and options", lines },
    { "a line is put in the place of those of its name", file },
    { "nbdtab may be a link, and have any bytes", odd_file },
    { "only the same disk takes the place of one", disks },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
