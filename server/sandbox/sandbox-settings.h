/* What a server needs, and so can't be taken from it. */
#ifndef NBDCRYPT_SANDBOX_SETTINGS_H
#define NBDCRYPT_SANDBOX_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sandbox_mode {
    SANDBOX_OFF,
    SANDBOX_AUTO,   /* what the kernel has; what is not allowed fails, and is logged */
    SANDBOX_STRICT, /* all of it, or no start; what is not allowed ends the process */
};

enum sandbox_access {
    SANDBOX_READ,
    SANDBOX_WRITE, /* and read; of a device also its ioctl(2)s */
    SANDBOX_NAMES, /* of sockets in this folder: to make and to remove them */
    SANDBOX_FILES, /* in this folder: to make, to write and to remove them */
    SANDBOX_ALL,   /* what is below: all but to make devices */
};

/* Which files it comes to, by name; what is open stays open. */
enum sandbox_reach {
    SANDBOX_REACH_ALL,    /* those that its user may */
    SANDBOX_REACH_SYSTEM, /* it writes `paths`, and what is not below the folders of the system */
    SANDBOX_REACH_WRITES, /* it writes `paths` */
    SANDBOX_REACH_PATHS,  /* it reads and writes `paths`, and reads what libraries read */
};

struct sandbox_path {
    const char *path;
    enum sandbox_access access;
    bool demanded; /* it has to be there */
};

struct sandbox_settings {
    enum sandbox_mode mode;
    bool programs; /* may be started: by plugins */
    enum sandbox_reach reach;
    bool only_ports; /* TCP is confined to these ports */
    bool only_bind;  /* with only_ports: those that are listened on, too */
    bool outsiders;  /* abstract sockets of others may be reached */
    const struct sandbox_path *paths;
    size_t path_count;
    const uint16_t *connect_ports, *bind_ports;
    size_t connect_count, bind_count;
};

#endif
