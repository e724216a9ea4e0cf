/* librbd's own LUKS, for the tests: rbd-encryption CONF POOL IMAGE 1|2 PASSPHRASE-FILE read|write
 * FILE
 *
 * Unlocks the image by rbd_encryption_load() as LUKS1 or LUKS2, and reads FILE from it or writes
 * FILE to it. */
#include <rados/librados.h>
#include <rbd/librbd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES (1u << 20)

static void must(const char *what, long code)
{
    if (code >= 0)
        return;
    fprintf(stderr, "rbd-encryption: %s: %s\n", what, strerror((int)-code));
    exit(EXIT_FAILURE);
}

static void load(rbd_image_t image, const char *type, const char *path)
{
    char passphrase[256];
    FILE *file = fopen(path, "r");
    size_t bytes = file != NULL ? fread(passphrase, 1, sizeof passphrase, file) : 0;

    if (file != NULL)
        fclose(file);
    if (strcmp(type, "1") == 0) {
        rbd_encryption_luks1_format_options_t options = { .passphrase = passphrase,
                                                          .passphrase_size = bytes };
        must("load",
             rbd_encryption_load(image, RBD_ENCRYPTION_FORMAT_LUKS1, &options, sizeof options));
    } else {
        rbd_encryption_luks2_format_options_t options = { .passphrase = passphrase,
                                                          .passphrase_size = bytes };
        must("load",
             rbd_encryption_load(image, RBD_ENCRYPTION_FORMAT_LUKS2, &options, sizeof options));
    }
}

static void copy(rbd_image_t image, bool writes, const char *path)
{
    static char piece[PIECE_BYTES];
    FILE *file = fopen(path, writes ? "r" : "w");
    uint64_t size_bytes = 0, at = 0;
    size_t count;

    must("size", rbd_get_size(image, &size_bytes));
    must(path, file != NULL ? 0 : -1);
    while (writes && (count = fread(piece, 1, sizeof piece, file)) > 0) {
        must("write", rbd_write(image, at, count, piece));
        at += count;
    }
    for (; !writes && at < size_bytes; at += count) {
        count = size_bytes - at < sizeof piece ? (size_t)(size_bytes - at) : sizeof piece;
        must("read", rbd_read(image, at, count, piece));
        must(path, fwrite(piece, 1, count, file) == count ? 0 : -1);
    }
    must("flush", rbd_flush(image));
    must(path, fclose(file));
}

int main(int argc, char **argv)
{
    rados_t cluster;
    rados_ioctx_t pool;
    rbd_image_t image;

    if (argc != 8) {
        fprintf(stderr,
                "usage: rbd-encryption CONF POOL IMAGE 1|2 PASSPHRASE-FILE read|write FILE\n");
        return 2;
    }
    must("start", rados_create(&cluster, "admin"));
    must(argv[1], rados_conf_read_file(cluster, argv[1]));
    must("connect", rados_connect(cluster));
    must(argv[2], rados_ioctx_create(cluster, argv[2], &pool));
    must(argv[3], rbd_open(pool, argv[3], &image, NULL));
    load(image, argv[4], argv[5]);
    copy(image, strcmp(argv[6], "write") == 0, argv[7]);
    must("close", rbd_close(image));
    rados_ioctx_destroy(pool);
    rados_shutdown(cluster);
    return EXIT_SUCCESS;
}
