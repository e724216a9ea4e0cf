/* The configuration files of the servers of the simulated world. */
#ifndef NBDCRYPT_SIM_CONFIG_H
#define NBDCRYPT_SIM_CONFIG_H

#include <stdbool.h>

#include "tests/sim/server.h"

#define DISK "disk" /* the export that clients attach */
#define OTHER "other"
#define NEIGHBOUR "neighbour" /* see neighbour.h */
#define CONFIG_OTHER 3u       /* the image of that one in a configuration */

/* What differs from the one that a server is started with. */
struct config_wish {
    bool no_disk;         /* it is served no more */
    bool broken;          /* the last line is half of one */
    unsigned other;       /* the image of another export; 0: there is none */
    unsigned description; /* a number that is in it; 0: none */
    bool other_rules;     /* who may attach it is said in another way, and means the same */
    bool nobody;          /* may attach it */
    unsigned limits;      /* the rates are these, times that and one more */
};

/* Its path; for a text that is kept. */
const char *config_path(enum site site);
/* Writes it, as the options say. */
void config_write(enum site site, const struct config_wish *wish);
/* The same key as key-file of that export. */
const char *config_image(enum site site);
/* The group of limits that the disk is in; NULL: none.  Groups belong to the process, in which many
 * lives of the server take place: each has one of its own. */
const char *config_group(void);
struct serve_options;
struct error;
/* Makes the groups that are configured, as the server does at its start. */
int config_use_groups(const struct serve_options *options, struct error *err);

#endif
