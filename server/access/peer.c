#include "server/access/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITY_SHOWN_BYTES 128u

static void describe_socket(struct peer *peer)
{
    char text[INET6_ADDRSTRLEN] = "?";

    if (peer->address.ss_family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&peer->address;

        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        snprintf(peer->text, sizeof peer->text, "client %s:%u", text, ntohs(v4->sin_port));
    } else if (peer->address.ss_family == AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&peer->address;

        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        snprintf(peer->text, sizeof peer->text, "client [%s]:%u", text, ntohs(v6->sin6_port));
    } else if (peer->address.ss_family == AF_UNIX) {
        snprintf(peer->text, sizeof peer->text, "client pid %d uid %u", peer->pid, peer->uid);
    } else {
        snprintf(peer->text, sizeof peer->text, "client");
    }
}

/* The longest prefix of at most `limit` bytes that ends between two characters of UTF-8. */
static size_t prefix_bytes(const char *text, size_t limit)
{
    size_t bytes = strnlen(text, limit + 1);

    if (bytes <= limit)
        return bytes;
    bytes = limit;
    while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80)
        bytes--;
    return bytes;
}

void peer_describe(struct peer *peer)
{
    const char *kind = peer->proof == PEER_PSK ? "psk:" : "";
    size_t used, shown;

    describe_socket(peer);
    if (peer->proof == PEER_UNPROVEN || peer->identity == NULL)
        return;
    used = strlen(peer->text);
    shown = prefix_bytes(peer->identity, IDENTITY_SHOWN_BYTES);
    if (peer->identity[0] == '\0')
        snprintf(peer->text + used, sizeof peer->text - used, " (%s)",
                 peer->proof == PEER_PSK ? "psk:" : "no subject");
    else
        snprintf(peer->text + used, sizeof peer->text - used, " (%s%.*s%s)", kind, (int)shown,
                 peer->identity, peer->identity[shown] != '\0' ? "..." : "");
}

static char *address_identity(const struct peer *peer)
{
    struct sockaddr_in6 v6 = *(const struct sockaddr_in6 *)&peer->address;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&peer->address;
    char text[INET6_ADDRSTRLEN] = "";

    if (peer->address.ss_family == AF_INET)
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    if (peer->address.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
        inet_ntop(AF_INET, v6.sin6_addr.s6_addr + 12, text, sizeof text);
    } else if (peer->address.ss_family == AF_INET6) {
        memset(v6.sin6_addr.s6_addr + 8, 0, 8);
        inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    }
    return strdup(text);
}

char *peer_identity(const struct peer *peer)
{
    char *text = NULL;
    int bytes;

    if (peer->proof != PEER_UNPROVEN && peer->identity != NULL)
        bytes = asprintf(&text, "%s:%s", peer->proof == PEER_PSK ? "psk" : "cert", peer->identity);
    else if (peer->address.ss_family == AF_UNIX)
        bytes = asprintf(&text, "uid:%u", peer->uid);
    else if (peer->address.ss_family == AF_INET || peer->address.ss_family == AF_INET6)
        return address_identity(peer);
    else
        return strdup("");
    return bytes >= 0 ? text : NULL;
}

void peer_of_socket(struct peer *out, int fd)
{
    socklen_t bytes = sizeof out->address;
    struct ucred credentials = { 0 };
    socklen_t credentials_bytes = sizeof credentials;

    *out = (struct peer){ 0 };
    if (getpeername(fd, (struct sockaddr *)&out->address, &bytes) != 0)
        out->address.ss_family = AF_UNSPEC;
    if (out->address.ss_family == AF_UNIX &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &credentials_bytes) != 0)
        out->address.ss_family = AF_UNSPEC;
    out->pid = credentials.pid;
    out->uid = credentials.uid;
    out->gid = credentials.gid;
    describe_socket(out);
}

static void free_list(char **list)
{
    for (char **item = list; item != NULL && *item != NULL; item++)
        free(*item);
    free(list);
}

void peer_forget_tls(struct peer *peer)
{
    free(peer->identity);
    free_list(peer->dns_names);
    free_list(peer->uris);
    peer->encrypted = false;
    peer->tls[0] = '\0';
    peer->proof = PEER_UNPROVEN;
    peer->identity = NULL;
    peer->dns_names = peer->uris = NULL;
    peer->certificate = (struct peer_certificate){ 0 };
}
