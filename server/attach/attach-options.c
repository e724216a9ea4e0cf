#include "server/attach/attach-options.h"

#include <errno.h>
#include <stddef.h>

#include "server/attach/attach-target.h"
#include "server/attach/nbd-netlink.h"

const struct attach_options attach_options_default = {
    .connections = 4,
    .timeout_seconds = 30,
    .dead_timeout_seconds = 300,
    .block_bytes = 0,
};

#define FIELD(name) offsetof(struct attach_options, name)

/* clang-format off */
#define ROWS_OF_A_DEVICE                                                                           \
    PARAM("connections", UINT, "N", connections,                                                   \
          "how many, if the server can do with several (default: 4)", .min = 1,                    \
          .max = NBD_NETLINK_SOCKETS_MAX),                                                         \
    PARAM("read-only", FLAG, NULL, read_only, "nothing can be written"),                           \
    PARAM("block-size", UINT, "BYTES", block_bytes,                                                \
          "512, 1024, 2048 or 4096 (default: the least that the server takes)", .min = 512,        \
          .max = 4096),                                                                            \
    PARAM("timeout", UINT, "SECONDS", timeout_seconds,                                             \
          "a request that has no answer for so long is sent again by another connection; off: "    \
          "a server may take any time (default: 30)", .max = 3600, .zero = "off"),       \
    PARAM("dead-timeout", UINT, "SECONDS", dead_timeout_seconds,                                   \
          "how long requests wait without any connection, before they fail (default: 300)",        \
          .min = 1, .max = 31536000),                                                              \
    PARAM("wait", UINT, "SECONDS", wait_seconds,                                                   \
          "how long to wait for a server that is not there yet", .max = 31536000),                 \
    PARAM("socket", STRING, "PATH", socket, "the control socket of the server of this machine"),   \
    PARAM("tls-proxy", FLAG, NULL, tls_proxy, "TLS is done by a process, not by the kernel")
/* clang-format on */

const struct param attach_params[] = {
    PARAM("name", STRING, "NAME", name, "what it is called here (default: as the export)"),
    ROWS_OF_A_DEVICE,
    PARAM("persist", FLAG, NULL, persist,
          "also write it into /etc/nbdcrypt/nbdtab, for after the next boot"),
    PARAM("grow", FLAG, NULL, grow, "what is attached already gets the size that the disk has now"),
    PARAM("foreground", FLAG, NULL, foreground,
          "look after it in this process, until it is detached"),
    PARAM("json", FLAG, NULL, json, "for programs"),
    PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h'),
    { .name = NULL },
};

const struct param attach_tab_params[] = {
    PARAM("device", STRING, "nbdN", device, "which one"),
    ROWS_OF_A_DEVICE,
    PARAM("noauto", FLAG, NULL, no_auto, "not at boot"),
    { .name = NULL },
};

int attach_options_check(const struct attach_options *options, struct error *err)
{
    if ((options->block_bytes & (options->block_bytes - 1)) != 0)
        return error_set(err, -EINVAL, "--block-size %u is not 512, 1024, 2048 or 4096",
                         options->block_bytes);
    return attach_target_check_path("--socket", options->socket, err);
}
