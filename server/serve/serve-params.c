#include "server/serve/serve-params.h"

#include "server/base/log-level.h"
#include "server/serve/export-options.h"

#define MEMORY_MAX_LEAST_BYTES (4u << 20)

#define FIELD(name) offsetof(struct serve_options, name)
#define OF(row_group, row_section, row_change) \
    .group = GROUP_##row_group, .section = row_section, .change = PARAM_##row_change
#define CLI_ONLY(row_group) .group = GROUP_##row_group

const struct param serve_params[] = {
    PARAM("name", STRING, "NAME", common.name, "export name of IMAGE (default: the empty name)",
          .letter = 'e', CLI_ONLY(WHAT)),
    EXPORT_ROWS_WHAT(struct serve_options, common.),
    PARAM("export", LIST, "NAME=IMAGE[,...]", export_texts,
          "one of several exports (repeatable); behind commas: key-file=FILE, header=FILE, "
          "description=TEXT, block-size=SIZES, allow=RULE, read-only, raw, discard, zero-holes, "
          "direct, tls-only, "
          "force-in-use, no-lock, and what is demanded of its header, such as expect-uuid=UUID; a "
          "comma that belongs to a value is doubled",
          CLI_ONLY(WHAT)),
    PARAM("strict", FLAG, NULL, strict,
          "do not start when an export can't be opened (default: the others are served)",
          OF(WHAT, "server", RESTART), .why = "it is about the start"),
    PARAM("may-be-empty", FLAG, NULL, may_be_empty,
          "go on without an export: they come later, by nbdcrypt ctl add or a reload",
          OF(WHAT, "server", LIVE)),
    PARAM("retry-exports", UINT, "SECONDS", retry_exports_seconds,
          "try exports again that can't be opened; 0: never (default: 60)", .max = 86400,
          OF(WHAT, "server", RESTART),
          .why = "it is about exports that could not be opened at the start"),
    PARAM("open-timeout", UINT, "SECONDS", open_timeout_seconds,
          "how long an export that comes while the server runs may take to be opened, and a key to "
          "be read again; 0: for ever (default: 120)",
          .max = 86400, OF(WHAT, "server", LIVE)),

    EXPORT_ROWS_KEYS(struct serve_options, common.),

    PARAM("unix", LIST, "PATH", unix_paths, "listen on a Unix socket (repeatable)", .letter = 'U',
          OF(WHERE, "server", LIVE)),
    PARAM("unix-mode", STRING, "MODE", unix_mode,
          "who may connect to the Unix sockets, as a mode of files such as 0660",
          OF(WHERE, "server", LIVE)),
    PARAM("unix-group", STRING, "GROUP", unix_group, "the group of the Unix sockets",
          OF(WHERE, "server", LIVE)),
    PARAM("listen", LIST, "ADDR:PORT", listen_texts,
          "listen on a TCP address, such as 0.0.0.0:10809 or [::1]:10809; port 0 takes a free one "
          "(repeatable; default: " ADDRESS_DEFAULT " when there is no --unix)",
          OF(WHERE, "server", LIVE)),
    PARAM("port", UINT, "PORT", port, "the same as --listen " LOOPBACK ":PORT", .letter = 'p',
          .max = UINT16_MAX, OF(WHERE, "server", LIVE)),
    PARAM("run", STRING, "COMMAND", run,
          "run a shell command with $uri and $unixsocket set, serve while it runs, and leave with "
          "its status",
          CLI_ONLY(WHERE)),

    EXPORT_ROWS_WHO(struct serve_options, common.),
    EXPORT_ROWS_LIMITS(struct serve_options, common.limits.),
    EXPORT_ROWS_SHARE(struct serve_options, common.),
    PARAM("limits", LIST, "NAME,KEY=VALUE[,...]", limit_texts,
          "limits that all exports with limit-group=NAME have together, such as gold,"
          "limit-iops=5000 (repeatable)",
          CLI_ONLY(RATES)),
    EXPORT_ROWS_SLOW(struct serve_options, common.),

    PARAM("tls", STRING, "MODE", tls.mode,
          "off, on (clients may use TLS), require-tcp (they must on TCP) or require (they must) "
          "(default: require once certificates or keys are given, else off)",
          OF(TLS, "tls", LIVE), .key = "mode", .choices = "off|on|require-tcp|require"),
    PARAM("tls-certificates", STRING, "DIR", tls.certificates,
          "a folder with server-cert.pem, server-key.pem, ca-cert.pem and perhaps ca-crl.pem",
          OF(TLS, "tls", LIVE)),
    PARAM("tls-psk", STRING, "FILE", tls.psk,
          "pre-shared keys: lines of IDENTITY:KEY, as psktool makes them", OF(TLS, "tls", LIVE)),
    PARAM("tls-verify-peer", FLAG, NULL, tls.verify_peer,
          "clients need a certificate of the CA in ca-cert.pem (default: they do)",
          OF(TLS, "tls", LIVE)),
    PARAM("tls-no-verify-peer", FLAG, NULL, tls.no_verify_peer,
          "clients need no certificate: everybody who can connect is served",
          .never_proposed = true, OF(TLS, "tls", LIVE)),
    PARAM("tls-expired", STRING, "WHAT", tls.expired,
          "clients whose certificate expires while they are connected: end or keep (default: end)",
          .choices = "end|keep", OF(TLS, "tls", LIVE)),
    PARAM("tls-priority", STRING, "STRING", tls.priority,
          "versions and ciphers, in the notation of GnuTLS, instead of the built-in choice",
          OF(TLS, "tls", LIVE)),
    PARAM("ktls", STRING, "MODE", tls.ktls,
          "who encrypts under TLS: on (the kernel, where it can), off (this program), auto (this "
          "program "
          "where it can use VAES, else the kernel where that can) (default: auto)",
          .choices = "on|off|auto", OF(TLS, "tls", LIVE)),

    PARAM("threads", UINT, "N", threads, "worker threads (default: one per online CPU)", .min = 1,
          .max = 1024, OF(LIMITS, "server", RESTART),
          .why = "each has rings, buffers and pipelines of its own, and clients stay on theirs"),
    PARAM("max-connections", UINT, "N", max_connections,
          "clients at a time, more are turned away (default: 4096)", .min = 1, .max = 1000000,
          OF(LIMITS, "server", LIVE)),
    PARAM("max-connections-per-client", UINT, "N", max_connections_per_client,
          "of these, from one address, of one user or of one identity (default: a quarter)",
          .min = 1, .max = 1000000, OF(LIMITS, "server", LIVE)),
    PARAM("memory-max", SIZE, "SIZE", memory_max_bytes,
          "memory for data buffers (default: half of what this machine or its cgroup has)",
          .min = MEMORY_MAX_LEAST_BYTES, OF(LIMITS, "server", LIVE)),
    PARAM("shutdown-timeout", UINT, "SECONDS", shutdown_timeout_seconds,
          "after SIGTERM, how long what is in flight may take; 0: for ever (default: 60)",
          .max = 86400, OF(LIMITS, "server", LIVE)),
    PARAM("handshake-timeout", UINT, "SECONDS", handshake_timeout_seconds,
          "time that a client has to choose an export (default: 10)", .min = 1, .max = 3600,
          OF(LIMITS, "server", LIVE)),
    PARAM("stall-timeout", UINT, "SECONDS", stall_timeout_seconds,
          "a client that stops within a request, or takes no reply, for so long is dropped "
          "0: never (default: 60)",
          .max = 86400, OF(LIMITS, "server", LIVE)),
    PARAM("no-extended-headers", FLAG, NULL, no_extended_headers,
          "refuse headers with lengths of 64 bits, for a client that fails with them",
          OF(LIMITS, "server", LIVE)),
    PARAM("busy-wait", UINT, "MICROSECONDS", busy_wait_us,
          "how long a thread whose client answers at once looks for its next request before it "
          "sleeps; 0: not at all (default: 50)",
          .max = 1000, OF(LIMITS, "server", RESTART),
          .why = "the loops of the threads are made with it"),

    PARAM("control", STRING, "PATH", control.socket,
          "the Unix socket of nbdcrypt ctl, or none (default: /run/nbdcrypt/control or "
          "$XDG_RUNTIME_DIR/nbdcrypt/control, where that can be made)",
          OF(CONTROL, "control", RESTART), .why = "the socket is made at the start",
          .key = "socket"),
    PARAM("control-mode", STRING, "MODE", control.mode,
          "who may connect to it, as a mode of files (default: 0660)",
          OF(CONTROL, "control", RESTART), .why = "the socket is made at the start"),
    PARAM("control-group", STRING, "GROUP", control.group, "the group of that socket",
          OF(CONTROL, "control", RESTART), .why = "the socket is made at the start"),
    PARAM("control-view", LIST, "RULE", control.view,
          "who may see there what the server does, besides root and its own user: uid:USER, "
          "gid:GROUP (repeatable)",
          OF(CONTROL, "control", LIVE)),
    PARAM("control-operate", LIST, "RULE", control.operate,
          "the same for what changes no access, such as the log's level (repeatable)",
          OF(CONTROL, "control", LIVE)),
    PARAM("control-admin", LIST, "RULE", control.admin, "the same for everything (repeatable)",
          OF(CONTROL, "control", LIVE)),

    PARAM("metrics-listen", STRING, "ADDR:PORT", metrics.listen,
          "serve metrics and a status page there by HTTP; 127.0.0.1:9811 is a good place",
          OF(METRICS, "metrics", RESTART), .why = "the page is made at the start"),
    PARAM("metrics-unix", STRING, "PATH", metrics.unix_path, "the same on a Unix socket",
          OF(METRICS, "metrics", RESTART), .why = "the page is made at the start"),
    PARAM("metrics-hosts", LIST, "NAME", metrics.hosts,
          "a name by which it may be asked, besides addresses and localhost (repeatable)",
          OF(METRICS, "metrics", RESTART), .why = "the page is made at the start"),
    PARAM("metrics-tls", FLAG, NULL, metrics.tls,
          "--metrics-listen is HTTPS, and who asks needs a certificate",
          OF(METRICS, "metrics", RESTART), .why = "the page is made at the start"),
    PARAM("metrics-certificates", STRING, "DIR", metrics.certificates,
          "for that, this folder instead of that of --tls-certificates",
          OF(METRICS, "metrics", RESTART), .why = "the page is made at the start"),
    PARAM("metrics-allow", LIST, "RULE", metrics.allow,
          "who may ask there, in the words of --allow (repeatable; default: everybody)",
          OF(METRICS, "metrics", RESTART), .why = "the page is made at the start"),
    PARAM("metrics-insecure", FLAG, NULL, metrics.insecure,
          "let --metrics-listen be on an address that other machines reach", .never_proposed = true,
          OF(METRICS, "metrics", RESTART), .why = "the page is made at the start"),
    PARAM("metrics-exports", STRING, "DETAIL", metrics.exports,
          "what is told of each export: full, basic (no histograms) or off (default: full)",
          OF(METRICS, "metrics", RESTART), .why = "the page is made at the start",
          .choices = "full|basic|off"),
    PARAM("metrics-exports-max", UINT, "N", metrics.exports_max,
          "so many exports have histograms of their own (default: 100)", .max = 100000,
          OF(METRICS, "metrics", RESTART), .why = "the page is made at the start"),

    PARAM("report-directory", STRING, "DIR", report.directory,
          "where reports are written, which SIGUSR1 and trouble make (default: reports in "
          "$STATE_DIRECTORY; without it, standard error)",
          OF(REPORT, "report", RESTART), .why = "it is read at the start"),
    PARAM("report-keep", UINT, "N", report.keep, "of these, so many are kept; 0: all (default: 20)",
          .max = 100000, OF(REPORT, "report", RESTART), .why = "it is read at the start"),
    PARAM("report-metadata", LIST, "WHICH", report.metadata,
          "metadata of exports whose values are in reports: all, none, or a namespace such as "
          "org.example or org.example.* (repeatable; default: all)",
          OF(REPORT, "report", RESTART), .why = "it is read at the start"),
    PARAM("stall-report", UINT, "SECONDS", report.stall_seconds,
          "a report is made when a thread has not answered for so long; 0: not (default: 5)",
          .max = 86400, OF(REPORT, "report", RESTART), .why = "it is read at the start"),
    PARAM("hung-request", UINT, "SECONDS", report.hung_seconds,
          "a report is made when storage has not answered a request for so long; 0: not "
          "(default: 30)",
          .max = 86400, OF(REPORT, "report", RESTART), .why = "it is read at the start"),

    PARAM("audit-file", STRING, "FILE", audit_file,
          "write to this file, or to the journal, who attached an export, was refused, used a key "
          "or changed something",
          OF(AUDIT, "audit", RESTART), .why = "it is opened at the start"),
    PARAM("audit-required", FLAG, NULL, audit_required,
          "refuse clients, and new exports, while the audit log can't be written",
          OF(AUDIT, "audit", RESTART), .why = "it is read at the start"),

    PARAM("log-level", STRING, "LEVEL", log_level,
          "what is told: error, warning, notice, info or debug (default: notice)",
          OF(OTHER, "server", LIVE), .choices = LOG_LEVEL_CHOICES),

    PARAM(
        "sandbox", STRING, "MODE", sandbox.mode,
        "what the server takes from itself, in case that somebody breaks into it: auto (what this "
        "machine has), strict (all, or no start; who tries more ends it) or off (default: auto)",
        .choices = "auto|strict|off", OF(SANDBOX, "sandbox", RESTART), .key = "mode",
        .why = "it is for good from the start on"),
    PARAM("sandbox-image-paths", LIST, "PATH", sandbox.image_paths,
          "open images below these folders only, besides those that are named here (repeatable)",
          OF(SANDBOX, "sandbox", RESTART), .why = "it is for good from the start on"),
    PARAM("sandbox-connect", LIST, "PORTS", sandbox.connect,
          "connect to these ports only, such as 10809 or 6800-7300, besides those of images that "
          "are named here (repeatable)",
          OF(SANDBOX, "sandbox", RESTART), .why = "it is for good from the start on"),
    PARAM(
        "sandbox-programs", LIST, "PROGRAM", sandbox.programs,
        "what a key-command that comes later may be, besides those that are named here: none, any, "
        "or programs (repeatable; default: none with strict, any with auto)",
        OF(SANDBOX, "sandbox", RESTART), .why = "it is for good from the start on"),
    PARAM("sandbox-plugins", STRING, "HOW", sandbox.plugins,
          "whether plugins of nbdkit are confined, or free to start programs and to open files "
          "(default: free with auto, confined with strict)",
          .choices = "confined|free", OF(SANDBOX, "sandbox", RESTART),
          .why = "it is for good from the start on"),

    PARAM("user", STRING, "NAME[:GROUP]", user_text,
          "once sockets, keys and images are open, go on as this user, without any capability",
          OF(OTHER, "server", RESTART)),
    PARAM("config", STRING, "FILE", config,
          "read options and exports from this file, and from *.conf in conf.d beside it; "
          "nbdcrypt.conf(5)",
          CLI_ONLY(OTHER)),
    PARAM("config-dir", LIST, "DIR", config_dirs,
          "read *.conf from this folder instead of conf.d (repeatable, in this order)",
          CLI_ONLY(OTHER)),
    PARAM("verbose", COUNT, NULL, verbose,
          "tell more of what clients do; -vv: also why their requests fail, and what plugins of "
          "nbdkit say for debugging",
          .letter = 'v', CLI_ONLY(OTHER)),
    PARAM("help", FLAG, NULL, help, "print this text", .letter = 'h', CLI_ONLY(OTHER)),
    { 0 },
};
