/* One export as the command line describes it: --export NAME=IMAGE[,key=value...].  What can be
 * said of an export can be given once for all as well: both are fields of struct export_settings,
 * and rows of one text. */
#ifndef NBDCRYPT_EXPORT_OPTIONS_H
#define NBDCRYPT_EXPORT_OPTIONS_H

#include "server/block/lock-params.h"
#include "server/export/export.h"
#include "server/base/params.h"
#include "server/base/rate-limit.h"

/* Headings of `serve --help`. */
#define GROUP_WHAT "What is served"
#define GROUP_KEYS "Keys and LUKS headers"
#define GROUP_WHERE "Where it listens"
#define GROUP_WHO "Who may attach"
#define GROUP_TLS "TLS"
#define GROUP_RATES "How fast clients may be"
#define GROUP_LIMITS "Limits"
#define GROUP_CONTROL "The control socket"
#define GROUP_METRICS "Metrics and the status page"
#define GROUP_REPORT "Reports"
#define GROUP_AUDIT "The audit log"
#define GROUP_SANDBOX "The sandbox"
#define GROUP_OTHER "Other options"

#define OF_EXPORT(row_group, row_change) \
    .group = row_group, .section = "export", .change = PARAM_##row_change

/* The rows of each group, of a struct export_settings that stands at `at` of `target`: nothing, or
 * a member with a dot behind it. */
#define EXPORT_ROWS_WHAT(target, at)                                                             \
    PARAM_AT(offsetof(target, at description), "description", STRING, "TEXT",                    \
             "what clients are told about IMAGE", OF_EXPORT(GROUP_WHAT, LIVE)),                  \
        PARAM_AT(offsetof(target, at block_size), "block-size", STRING, "MIN[/PREFERRED[/MAX]]", \
                 "block sizes in bytes that clients are told (default: those of the image)",     \
                 OF_EXPORT(GROUP_WHAT, REPLACE)),                                                \
        PARAM_AT(offsetof(target, at raw), "raw", FLAG, NULL,                                    \
                 "serve the image as it is: no LUKS, no encryption", .never_proposed = true,     \
                 OF_EXPORT(GROUP_WHAT, REPLACE)),                                                \
        PARAM_AT(offsetof(target, at options.read_only), "read-only", FLAG, NULL,                \
                 "refuse all writes", .letter = 'r', OF_EXPORT(GROUP_WHAT, REPLACE)),            \
        PARAM_AT(offsetof(target, at discard), "discard", FLAG, NULL,                            \
                 "pass TRIM through to the image; it shows which blocks are in use",             \
                 OF_EXPORT(GROUP_WHAT, REPLACE)),                                                \
        PARAM_AT(offsetof(target, at no_discard), "no-discard", FLAG, NULL,                      \
                 "the flag allow-discards of the LUKS2 header does not turn TRIM on",            \
                 OF_EXPORT(GROUP_WHAT, REPLACE)),                                                \
        PARAM_AT(                                                                                \
            offsetof(target, at zero_holes), "zero-holes", FLAG, NULL,                           \
            "holes of the image read as zeros, and zeroes and TRIM make holes; who writes to "   \
            "the storage can then make zeros of any sector",                                     \
            OF_EXPORT(GROUP_WHAT, REPLACE)),                                                     \
        PARAM_AT(offsetof(target, at options.direct), "direct", FLAG, NULL,                      \
                 "go around the page cache (O_DIRECT)", OF_EXPORT(GROUP_WHAT, REPLACE)),         \
        LOCK_ROWS(target, at options.terms, OF_EXPORT(GROUP_WHAT, REPLACE))

#define EXPORT_ROWS_KEYS(target, at)                                                              \
    KEY_SOURCE_ROWS("", target, at key, "the passphrase", OF_EXPORT(GROUP_KEYS, LIVE)),           \
        KEY_SOURCE_VOLUME_KEY_ROWS(target, at key, OF_EXPORT(GROUP_KEYS, LIVE)),                  \
        PARAM_AT(offsetof(target, at sure_of_passphrase), "i-know-the-passphrase", FLAG, NULL,    \
                 "decrypt a qcow2 image of QEMU's AES although it looks like noise",              \
                 .never_proposed = true, OF_EXPORT(GROUP_KEYS, REPLACE)),                         \
        PARAM_AT(offsetof(target, at header), "header", STRING, "FILE",                           \
                 "the LUKS header of IMAGE, kept apart from it", OF_EXPORT(GROUP_KEYS, REPLACE)), \
        HEADER_DEMAND_ROWS(target, at header_demands, OF_EXPORT(GROUP_KEYS, REPLACE))

#define EXPORT_ROWS_WHO(target, at)                                                                \
    PARAM_AT(offsetof(target, at allow), "allow", LIST, "RULE",                                    \
             "who may attach (repeatable, one that matches is enough; default: everybody who can " \
             "connect): any, cert:SUBJECT-DN, dns:NAME, uri:URI, psk:IDENTITY, uid:USER, "         \
             "gid:GROUP, net:NETWORK, or several of these joined by &; an export with allow=RULE " \
             "has its own",                                                                        \
             OF_EXPORT(GROUP_WHO, LIVE)),                                                          \
        PARAM_AT(offsetof(target, at tls_only), "tls-only", FLAG, NULL,                            \
                 "clients without TLS neither see nor attach it", OF_EXPORT(GROUP_WHO, LIVE))

/* At `at` of `target` is a struct limit_settings.  What a group can have, too. */
#define EXPORT_ROWS_RATES(target, at)                                                              \
    PARAM_AT(offsetof(target, at iops[LIMIT_IOPS]), "limit-iops", UINT, "N",                       \
             "operations a second of all clients of an export; off or 0: as many as there are "    \
             "(default: off)",                                                                     \
             .max = 1000000000, .zero = "off", OF_EXPORT(GROUP_RATES, LIVE)),                      \
        PARAM_AT(offsetof(target, at iops[LIMIT_READ_IOPS]), "limit-read-iops", UINT, "N",         \
                 "of these, those that read", .max = 1000000000, .zero = "off",                    \
                 OF_EXPORT(GROUP_RATES, LIVE)),                                                    \
        PARAM_AT(offsetof(target, at iops[LIMIT_WRITE_IOPS]), "limit-write-iops", UINT, "N",       \
                 "of these, those that write", .max = 1000000000, .zero = "off",                   \
                 OF_EXPORT(GROUP_RATES, LIVE)),                                                    \
        PARAM_AT(offsetof(target, at bandwidth[LIMIT_BANDWIDTH - LIMIT_IOPS_KINDS]),               \
                 "limit-bandwidth", SIZE, "SIZE",                                                  \
                 "bytes a second that they read and write; off or 0: any number (default: off)",   \
                 .max = RATE_LIMIT_MAX, .zero = "off", OF_EXPORT(GROUP_RATES, LIVE)),              \
        PARAM_AT(offsetof(target, at bandwidth[LIMIT_READ_BANDWIDTH - LIMIT_IOPS_KINDS]),          \
                 "limit-read-bandwidth", SIZE, "SIZE", "of these, those that they read",           \
                 .max = RATE_LIMIT_MAX, .zero = "off", OF_EXPORT(GROUP_RATES, LIVE)),              \
        PARAM_AT(offsetof(target, at bandwidth[LIMIT_WRITE_BANDWIDTH - LIMIT_IOPS_KINDS]),         \
                 "limit-write-bandwidth", SIZE, "SIZE", "of these, those that they write",         \
                 .max = RATE_LIMIT_MAX, .zero = "off", OF_EXPORT(GROUP_RATES, LIVE)),              \
        PARAM_AT(offsetof(target, at burst[LIMIT_IOPS]), "burst-iops", STRING, "RATE/SECONDS",     \
                 "after a time of rest so many operations a second, for so long, instead of "      \
                 "--limit-iops; off: no burst",                                                    \
                 OF_EXPORT(GROUP_RATES, LIVE)),                                                    \
        PARAM_AT(offsetof(target, at burst[LIMIT_READ_IOPS]), "burst-read-iops", STRING,           \
                 "RATE/SECONDS", "the same for --limit-read-iops", OF_EXPORT(GROUP_RATES, LIVE)),  \
        PARAM_AT(offsetof(target, at burst[LIMIT_WRITE_IOPS]), "burst-write-iops", STRING,         \
                 "RATE/SECONDS", "the same for --limit-write-iops", OF_EXPORT(GROUP_RATES, LIVE)), \
        PARAM_AT(offsetof(target, at burst[LIMIT_BANDWIDTH]), "burst-bandwidth", STRING,           \
                 "RATE/SECONDS", "the same for --limit-bandwidth", OF_EXPORT(GROUP_RATES, LIVE)),  \
        PARAM_AT(offsetof(target, at burst[LIMIT_READ_BANDWIDTH]), "burst-read-bandwidth", STRING, \
                 "RATE/SECONDS", "the same for --limit-read-bandwidth",                            \
                 OF_EXPORT(GROUP_RATES, LIVE)),                                                    \
        PARAM_AT(offsetof(target, at burst[LIMIT_WRITE_BANDWIDTH]), "burst-write-bandwidth",       \
                 STRING, "RATE/SECONDS", "the same for --limit-write-bandwidth",                   \
                 OF_EXPORT(GROUP_RATES, LIVE)),                                                    \
        PARAM_AT(offsetof(target, at io_size_bytes), "limit-io-size", SIZE, "SIZE",                \
                 "a larger request counts as several operations (default: as one)", .zero = "off", \
                 OF_EXPORT(GROUP_RATES, LIVE))

/* And what only an export can. */
#define EXPORT_ROWS_LIMITS(target, at)                                                          \
    EXPORT_ROWS_RATES(target, at),                                                              \
        PARAM_AT(offsetof(target, at client_iops), "client-limit-iops", UINT, "N",              \
                 "operations a second of each client, over all of its connections",             \
                 .max = 1000000000, .zero = "off", OF_EXPORT(GROUP_RATES, LIVE)),               \
        PARAM_AT(offsetof(target, at client_bandwidth), "client-limit-bandwidth", SIZE, "SIZE", \
                 "bytes a second that each client reads and writes", .max = RATE_LIMIT_MAX,     \
                 .zero = "off", OF_EXPORT(GROUP_RATES, LIVE))

#define EXPORT_ROWS_SHARE(target, at)                                                          \
    PARAM_AT(offsetof(target, at limit_group), "limit-group", STRING, "NAME",                  \
             "share the limits of this group (--limits) with its other exports; off: of none " \
             "(default: off)",                                                                 \
             OF_EXPORT(GROUP_RATES, LIVE)),                                                    \
        PARAM_AT(offsetof(target, at weight), "weight", UINT, "N",                             \
                 "its part of the limits of its group, and of a thread that has more to do "   \
                 "than it can, beside other exports (default: 100)",                           \
                 .min = 1, .max = 1000, OF_EXPORT(GROUP_RATES, LIVE))

#define EXPORT_ROWS_SLOW(target, at)                                                      \
    PARAM_AT(offsetof(target, at slow_request), "slow-request", STRING, "TIME",           \
             "tell in the log of requests that take longer, such as 500ms or 2s, and of " \
             "whose fault it is; off: of none (default: off)",                            \
             OF_EXPORT(GROUP_RATES, LIVE))

/* What may stand behind the commas; fields of struct export_settings.  Lists are freed by
 * params_free(). */
extern const struct param export_params[];
/* Of these, what can be said of one while it is served. */
struct export_rates {
    struct limit_settings limits;
    const char *limit_group;
    unsigned weight;
};
extern const struct param rate_params[];

/* What is given once for all, for one export to go on from: lists and key are not its own yet. */
struct export_settings export_options_inherit(const struct export_settings *common);

/* Reads `text`, which is cut into pieces and must stay.  -EINVAL with a sentence that names the
 * export.  params_free(out, export_params) in every case. */
NODISCARD int export_options_parse(struct export_settings *out, char *text,
                                   const struct export_settings *common, struct error *err);

/* The last step for one that export_options_inherit() began: what it leaves open is that of
 * `common`. -EINVAL as export_options_check(). */
NODISCARD int export_options_finish(struct export_settings *settings,
                                    const struct export_settings *common, struct error *err);

/* Of what is given, what contradicts itself; -EINVAL.  `dashes` stands before the names of
 * options. */
NODISCARD int export_options_check_flags(const struct export_settings *settings, const char *dashes,
                                         struct error *err);

/* What can be said about one export without looking at its image; -EINVAL. */
NODISCARD int export_options_check(const struct export_settings *settings, const char *dashes,
                                   struct error *err);

/* What can be said about all of them; -EINVAL, and *culprit is the one that is in the way of
 * *other, which stands before it. */
NODISCARD int export_options_check_together(const struct export_settings *exports, size_t count,
                                            size_t *culprit, size_t *other, struct error *err);

/* How much of a name of this length is repeated in messages, for "%.*s". */
int export_options_shown(size_t length);

#endif
