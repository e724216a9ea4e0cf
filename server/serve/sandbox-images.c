#include "server/serve/sandbox-images.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "server/block/image.h"
#include "server/sandbox/sandbox-landlock.h"

#define NBD_PORT 10809u

/* Of Ceph: monitors, and the range of the others. */
static const unsigned ceph_ports[][2] = { { 3300, 3300 }, { 6789, 6789 }, { 6800, 7568 } };

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* ---- parameters ---- */

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;

    return at != NULL ? (int)((at - digits) % 16) : -1;
}

static void decode(char *text)
{
    char *out = text;

    for (const char *in = text; *in != '\0'; in++) {
        int high = *in == '%' ? hex_value(in[1]) : -1;
        int low = high >= 0 ? hex_value(in[2]) : -1;

        *out = *in;
        if (low >= 0) {
            *out = (char)(high * 16 + low);
            in += 2;
        }
        out++;
    }
    *out = '\0';
}

static int add_value(struct sandbox_lists *lists, char *value, bool plugin, struct error *err)
{
    decode(value);
    if (*value == '+') /* password=+FILE */
        value++;
    if (strchr(value, '/') == NULL)
        return 0;
    enum sandbox_access access = plugin ? SANDBOX_WRITE : SANDBOX_READ;
    int result = sandbox_lists_add_path(lists, value, access, err);
    return result == 0 ? sandbox_lists_add_folder_of(lists, value, access, err) : result;
}

/* Each that may be a path, whatever it is called: one that is not there is left out. */
static int add_parameters(struct sandbox_lists *lists, const char *parameters, bool plugin,
                          struct error *err)
{
    char *text = parameters != NULL ? strdup(parameters) : NULL, *rest = text, *pair;
    int result = parameters != NULL && text == NULL ? error_no_memory(err, "for the sandbox") : 0;

    while (result == 0 && (pair = strsep(&rest, "&")) != NULL) {
        char *equals = strchr(pair, '=');

        if (equals != NULL)
            result = add_value(lists, equals + 1, plugin, err);
    }
    free(text);
    return result;
}

/* ---- kinds of images ---- */

/* The file behind a loop device, or behind that of a partition, is locked as well. */
static int add_behind(struct sandbox_lists *lists, const char *path, struct error *err)
{
    static const char *const places[] = { "", "../" };
    struct stat status;
    int result = 0;

    if (stat(path, &status) != 0 || !S_ISBLK(status.st_mode))
        return 0;
    for (size_t i = 0; i < sizeof places / sizeof places[0] && result == 0; i++) {
        char name[96], behind[PATH_MAX] = "";

        (void)snprintf(name, sizeof name, "/sys/dev/block/%u:%u/%sloop/backing_file",
                       major(status.st_rdev), minor(status.st_rdev), places[i]);
        FILE *file = fopen(name, "re");
        if (file == NULL)
            continue;
        if (fgets(behind, sizeof behind, file) != NULL) {
            behind[strcspn(behind, "\n")] = '\0';
            result = sandbox_lists_add_path(lists, behind, SANDBOX_WRITE, err);
        }
        (void)fclose(file);
    }
    return result;
}

static bool is_of_system(const char *path)
{
    char whole[PATH_MAX];

    return realpath(path, whole) != NULL && landlock_is_of_system(whole);
}

static int add_file(struct sandbox_lists *lists, const char *path, enum sandbox_folders folders,
                    struct error *err)
{
    int result = sandbox_lists_add_path(lists, path, SANDBOX_WRITE, err);

    if (result == 0)
        result = add_behind(lists, path, err);

    if (result < 0 || folders == SANDBOX_FOLDERS_NONE || begins(path, "/dev/") ||
        (folders == SANDBOX_FOLDERS_OF_USERS && is_of_system(path)))
        return result;
    return sandbox_lists_add_folder_of(lists, path, SANDBOX_WRITE, err);
}

/* "//HOST:PORT/NAME"; 0: there is none in it. */
static unsigned port_of(const char *path)
{
    size_t length = begins(path, "//") ? strcspn(path + 2, "/") : 0;
    const char *colon = length > 0 ? memrchr(path + 2, ':', length) : NULL;
    const char *bracket = length > 0 ? memrchr(path + 2, ']', length) : NULL;

    if (length == 0)
        return 0;
    if (colon == NULL || (bracket != NULL && bracket > colon))
        return NBD_PORT;
    return (unsigned)strtoul(colon + 1, NULL, 10) & UINT16_MAX;
}

static int add_named(struct sandbox_lists *lists, const struct image_name *name,
                     enum sandbox_folders folders, struct error *err)
{
    unsigned port = begins(name->scheme, "nbd") ? port_of(name->path) : 0;
    int result = 0;

    if (strcmp(name->scheme, "file") == 0)
        return add_file(lists, name->path, folders, err);
    if (port > 0)
        result = sandbox_lists_add_connect(lists, port, port, err);
    for (size_t i = 0; strcmp(name->scheme, "rbd") == 0 && result == 0 &&
                       i < sizeof ceph_ports / sizeof ceph_ports[0];
         i++)
        result = sandbox_lists_add_connect(lists, ceph_ports[i][0], ceph_ports[i][1], err);
    if (result == 0 && *name->path == '/') /* a plugin by its path */
        result = sandbox_lists_add_path(lists, name->path, SANDBOX_READ, err);
    return result == 0
               ? add_parameters(lists, name->parameters, strcmp(name->scheme, "nbdkit") == 0, err)
               : result;
}

int sandbox_images_add(struct sandbox_lists *lists, const char *image, enum sandbox_folders folders,
                       struct error *err)
{
    struct error ignored = { "" };
    struct image_name name;

    if (image_name_parse(&name, image, &ignored) < 0)
        return 0; /* opening it will tell */
    int result = add_named(lists, &name, folders, err);
    if (result == 0 && name.backing != NULL) /* a shorter text each time */
        result = sandbox_images_add(lists, name.backing, folders, err);
    image_name_free(&name);
    return result;
}

static bool has_scheme(const char *image, const char *scheme)
{
    struct error ignored = { "" };
    struct image_name name;

    if (image_name_parse(&name, image, &ignored) < 0)
        return false;
    bool has = strcmp(name.scheme, scheme) == 0;
    image_name_free(&name);
    return has;
}

bool sandbox_images_is_known(const char *image)
{
    struct error ignored = { "" };
    struct image_name name;

    if (image_name_parse(&name, image, &ignored) < 0)
        return true; /* it will not be opened */
    bool known = strcmp(name.scheme, "file") == 0
                     ? access(name.path, F_OK) == 0
                     : strcmp(name.scheme, "nbdkit") != 0 && strcmp(name.scheme, "rbd") != 0;
    image_name_free(&name);
    return known;
}

bool sandbox_images_is_plugin(const char *image)
{
    return has_scheme(image, "nbdkit");
}

bool sandbox_images_connects_anywhere(const char *image)
{
    return has_scheme(image, "nbdkit") || has_scheme(image, "rbd");
}
