#include "server/attach/attach-dial.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "server/attach/attach-ktls.h"
#include "server/attach/attach-proxy.h"
#include "server/base/tcp-keepalive.h"
#include "server/client/client-connect.h"
#include "server/client/client-tls.h"
#include "server/control/control-client.h"
#include "server/control/control-json.h"

#define DEADLINE_MS 10000u
#define UNACKNOWLEDGED_MS 30000u

/* ---- the server of this machine ---- */

static int refused(const char *error, struct json_object *reply, const char *name,
                   struct error *err)
{
    const char *reason = control_text(control_member(reply, "parameters"), "reason");

    if (strcmp(error, "org.nbdcrypt.NoSuchExport") == 0)
        return error_set(err, -ENOENT,
                         "there is no export '%.200s' that this user may attach at the server of "
                         "this machine; another server is named by a URI, nbd://HOST/NAME",
                         name);
    if (strcmp(error, "org.nbdcrypt.Denied") == 0)
        return error_set(err, -EACCES,
                         "the server of this machine lets nobody attach by its control socket who "
                         "has not the role admin (--control-admin)");
    return error_set(err, -EIO, "the server of this machine refused: %.200s",
                     reason != NULL ? reason : error);
}

static int ask_for_socket(int *fd, struct control_link *link, const char *name, struct error *err)
{
    struct json_object *reply = NULL;
    int result =
        control_link_send(link, "ConnectClient",
                          control_with("export", json_object_new_string(name)), false, -1, err);

    if (result == 0)
        result = control_link_receive(link, &reply, err);
    if (result < 0)
        return result;
    const char *error = control_text(reply, "error");
    if (error != NULL)
        result = refused(error, reply, name, err);
    json_object_put(reply);
    if (result < 0)
        return result;
    *fd = control_link_take_fd(link);
    return *fd >= 0 ? 0 : error_set(err, -EPROTO, "the server of this machine gave no socket");
}

static int connect_locally(struct channel *channel, const struct attach_target *target,
                           struct error *err)
{
    struct control_link link;
    int result = control_link_open(&link, target->control, DEADLINE_MS, err);

    if (result < 0)
        return result;
    result = ask_for_socket(&channel->fd, &link, target->export_name, err);
    control_link_close(&link);
    if (result == 0)
        (void)fcntl(channel->fd, F_SETFL, O_NONBLOCK);
    return result;
}

/* ---- any server ---- */

/* What goes on between a connected socket and the kernel. */
static int hand_over(struct channel *channel, struct client_tls *tls,
                     const struct attach_target *target, struct error *err)
{
    int result = 0;

    client_connect_settle(channel->fd);
    if (!target->local && target->uri.socket_path == NULL)
        tcp_keepalive(channel->fd, UNACKNOWLEDGED_MS);
    if (tls->client == NULL)
        return 0;
    if (target->tls_proxy)
        return attach_proxy_start(&channel->fd, &tls->client, err);
    result = attach_ktls_start(channel->fd, tls->client, err);
    if (result == 0) {
        tls_client_leave(tls->client);
        tls->client = NULL;
    }
    return result;
}

static int with_connection(struct export_info *info, char *uuid, int *fd,
                           const struct attach_target *target, const atomic_bool *stop,
                           struct error *err)
{
    struct channel channel = { .fd = -1, .end_ms = channel_clock_ms() + DEADLINE_MS, .stop = stop };
    struct client_tls tls = { .uri = &target->uri };
    const struct client_wishes wishes = {
        .export_name = target->export_name,
        .start_tls = !target->local && target->uri.tls ? client_tls_start : NULL,
        .context = &tls,
    };
    int result = target->local ? connect_locally(&channel, target, err)
                               : client_connect(&channel, &target->uri, err);

    if (result == 0)
        result = uuid != NULL ? client_handshake_uuid(uuid, &channel, &wishes, err)
                              : client_handshake(info, &channel, &wishes, err);
    if (result == 0 && uuid == NULL)
        result = hand_over(&channel, &tls, target, err);
    tls_client_free(tls.client);
    if (channel.fd >= 0 && (result < 0 || uuid != NULL)) {
        close(channel.fd);
        channel.fd = -1;
    }
    *fd = channel.fd;
    return result;
}

int attach_dial(int *fd, struct export_info *info, const struct attach_target *target,
                const atomic_bool *stop, struct error *err)
{
    return with_connection(info, NULL, fd, target, stop, err);
}

int attach_dial_uuid(char uuid[CLIENT_UUID_BYTES], const struct attach_target *target,
                     const atomic_bool *stop, struct error *err)
{
    int fd;

    return with_connection(NULL, uuid, &fd, target, stop, err);
}
