/* Sends commands (JSON) to the monitors of a Ceph cluster: ceph-command CONF COMMAND...  What they
 * answer goes to standard output.  Debian's `ceph` would take python and six packages. */
#include <rados/librados.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int send_command(rados_t cluster, const char *command)
{
    const char *commands[] = { command };
    char *out = NULL, *status = NULL;
    size_t out_bytes = 0, status_bytes = 0;
    int result =
        rados_mon_command(cluster, commands, 1, "", 0, &out, &out_bytes, &status, &status_bytes);

    printf("%.*s\n", (int)out_bytes, out);
    if (status_bytes > 0)
        fprintf(stderr, "%.*s\n", (int)status_bytes, status);
    if (result < 0)
        fprintf(stderr, "ceph-command: %s: %s\n", command, strerror(-result));
    rados_buffer_free(out);
    rados_buffer_free(status);
    return result;
}

int main(int argc, char **argv)
{
    rados_t cluster;

    if (argc < 3) {
        fprintf(stderr, "usage: ceph-command CONF COMMAND...\n");
        return 2;
    }
    int result = rados_create(&cluster, "admin");
    if (result < 0)
        return EXIT_FAILURE;
    result = rados_conf_read_file(cluster, argv[1]);
    if (result == 0)
        result = rados_conf_set(cluster, "client_mount_timeout", "10");
    if (result == 0)
        result = rados_connect(cluster);
    if (result < 0)
        fprintf(stderr, "ceph-command: the cluster can't be reached: %s\n", strerror(-result));
    for (int i = 2; i < argc && result >= 0; i++)
        result = send_command(cluster, argv[i]);
    rados_shutdown(cluster);
    return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
