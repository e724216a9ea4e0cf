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
    int code =
        rados_mon_command(cluster, commands, 1, "", 0, &out, &out_bytes, &status, &status_bytes);

    printf("%.*s\n", (int)out_bytes, out);
    if (status_bytes > 0)
        fprintf(stderr, "%.*s\n", (int)status_bytes, status);
    if (code < 0)
        fprintf(stderr, "ceph-command: %s: %s\n", command, strerror(-code));
    rados_buffer_free(out);
    rados_buffer_free(status);
    return code;
}

int main(int argc, char **argv)
{
    rados_t cluster;

    if (argc < 3) {
        fprintf(stderr, "usage: ceph-command CONF COMMAND...\n");
        return 2;
    }
    int code = rados_create(&cluster, "admin");
    if (code < 0)
        return EXIT_FAILURE;
    code = rados_conf_read_file(cluster, argv[1]);
    if (code == 0)
        code = rados_conf_set(cluster, "client_mount_timeout", "10");
    if (code == 0)
        code = rados_connect(cluster);
    if (code < 0)
        fprintf(stderr, "ceph-command: the cluster can't be reached: %s\n", strerror(-code));
    for (int i = 2; i < argc && code >= 0; i++)
        code = send_command(cluster, argv[i]);
    rados_shutdown(cluster);
    return code < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
