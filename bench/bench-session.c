#include "bench/bench-session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/libnbd-client.h"
#include "server/client/client-connect.h"
#include "server/client/client-tls.h"
#include "server/nbd/nbd-wire.h"

/* ---- what the export must be able to do ---- */

static int refuse(const struct bench_session *session, const char *why, struct error *err)
{
    return error_set(err, -EINVAL, "export '%s': %s", session->uri->export_name, why);
}

static int check_commands(const struct bench_session *session, struct error *err)
{
    const struct bench_options *options = session->options;
    uint16_t flags = session->info.flags;
    bool changes =
        options->write_percent > 0 || options->trim_percent > 0 || options->zero_percent > 0;

    if (changes && (flags & NBD_FLAG_READ_ONLY) != 0)
        return refuse(session, "it is read-only: leave out --write, --trim and --zero", err);
    if (options->trim_percent > 0 && (flags & NBD_FLAG_SEND_TRIM) == 0)
        return refuse(session, "the server does not offer TRIM for it: leave out --trim", err);
    if (options->zero_percent > 0 && (flags & NBD_FLAG_SEND_WRITE_ZEROES) == 0)
        return refuse(session, "the server does not offer WRITE_ZEROES for it: leave out --zero",
                      err);
    if (options->verify && options->connections > 1 && (flags & NBD_FLAG_CAN_MULTI_CONN) == 0)
        return refuse(session,
                      "the server does not promise that one connection sees what another "
                      "has written: --verify takes one connection here",
                      err);
    return 0;
}

static int check_blocks(const struct bench_session *session, struct error *err)
{
    const struct bench_options *options = session->options;
    const struct export_info *info = &session->info;

    if (info->block_min_bytes > 1 && (options->block_min_bytes % info->block_min_bytes != 0 ||
                                      options->offset_bytes % info->block_min_bytes != 0))
        return error_set(err, -EINVAL,
                         "export '%s': the server takes multiples of %u bytes only: "
                         "choose --block and --offset so",
                         session->uri->export_name, info->block_min_bytes);
    if (options->block_max_bytes > info->block_max_bytes)
        return error_set(err, -EINVAL,
                         "export '%s': the server takes requests of at most %u bytes:"
                         " choose a smaller --block",
                         session->uri->export_name, info->block_max_bytes);
    return 0;
}

/* ---- the area ---- */

/* Between two runs all that is written differs, so that old data is never taken for new. */
static uint64_t new_seed(void)
{
    uint64_t seed = 0;

    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint64_t)getpid();
    return seed % ((1ull << 48) - 1) + 1; /* every program that reads JSON can take it */
}

static int find_area(struct bench_session *session, uint64_t offset_bytes, uint64_t size_bytes,
                     struct error *err)
{
    uint64_t export_bytes = session->info.size_bytes;
    uint32_t block_bytes = session->options->block_max_bytes;
    struct workload_config *workload = &session->workload;

    if (offset_bytes > export_bytes || size_bytes > export_bytes - offset_bytes)
        return error_set(err, -EINVAL,
                         "export '%s': the area (offset %" PRIu64 ", %" PRIu64
                         " bytes) goes beyond its end at %" PRIu64,
                         session->uri->export_name, offset_bytes, size_bytes, export_bytes);
    if (size_bytes == 0)
        size_bytes = export_bytes - offset_bytes;
    workload->area_offset_bytes = offset_bytes;
    /* What is read back is all of it: the last piece may be shorter. */
    workload->area_bytes =
        size_bytes -
        size_bytes % (session->options->read_back ? CELL_BYTES : workload->block_min_bytes);
    if (workload->area_bytes < (session->options->read_back ? CELL_BYTES : block_bytes))
        return error_set(err, -EINVAL,
                         "export '%s': the area of %" PRIu64 " bytes has no room for "
                         "a request of %u (--block)",
                         session->uri->export_name, size_bytes, block_bytes);
    return 0;
}

static void find_workload(struct bench_session *session)
{
    const struct bench_options *options = session->options;

    session->workload = (struct workload_config){
        .pattern = options->pattern,
        .theta = options->theta,
        .percent = {
            [WORKLOAD_READ] = 100 - options->write_percent - options->trim_percent -
                              options->zero_percent,
            [WORKLOAD_WRITE] = options->write_percent,
            [WORKLOAD_TRIM] = options->trim_percent,
            [WORKLOAD_ZERO] = options->zero_percent,
        },
        .block_min_bytes = options->block_min_bytes,
        .block_max_bytes = options->block_max_bytes,
        .passes = options->passes,
        .seed = options->seed != 0 ? options->seed : new_seed(),
    };
    if (options->read_back)
        session->workload.block_min_bytes = options->block_max_bytes;
}

/* ---- what is verified ---- */

static int begin_verify(struct bench_session *session, struct error *err)
{
    const struct bench_options *options = session->options;
    const struct workload_config *workload = &session->workload;
    struct verify_area area = {
        .seed = workload->seed,
        .offset_bytes = workload->area_offset_bytes,
        .length_bytes = workload->area_bytes,
        .block_bytes = workload->block_min_bytes,
    };

    if (!options->verify)
        return 0;
    int result = verify_begin(&session->verify, &area, options->state_path, err);
    session->has_verify = result == 0;
    return result;
}

/* The area of a run that is read back with its state is that of the file. */
static int begin_read_back(struct bench_session *session, uint64_t *offset_bytes,
                           uint64_t *size_bytes, struct error *err)
{
    const struct bench_options *options = session->options;

    if (!options->read_back)
        return 0;
    session->has_verify = true;
    if (options->state_path == NULL) {
        verify_begin_blind(&session->verify, options->seed);
        return 0;
    }
    int result = verify_resume(&session->verify, options->state_path, err);
    session->has_verify = result == 0;
    if (result != 0)
        return result;
    *offset_bytes = session->verify.table.area.offset_bytes;
    *size_bytes = session->verify.table.area.length_bytes;
    return 0;
}

static int prepare(struct bench_session *session, struct error *err)
{
    uint64_t offset_bytes = session->options->offset_bytes;
    uint64_t size_bytes = session->options->size_bytes;

    find_workload(session);
    int result = check_commands(session, err);
    if (result == 0)
        result = check_blocks(session, err);
    if (result == 0)
        result = begin_read_back(session, &offset_bytes, &size_bytes, err);
    if (result == 0)
        result = find_area(session, offset_bytes, size_bytes, err);
    return result == 0 ? begin_verify(session, err) : result;
}

/* ---- connections ---- */

/* A connection is a descriptor. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* what there is may be enough */
    }
}

/* A connected socket with the handshake behind it, or -errno.  *tls stays NULL without TLS. */
static int shake_hands(const struct bench_session *session, struct export_info *info,
                       struct tls_client **tls, struct error *err)
{
    const struct bench_options *options = session->options;
    struct channel channel = { .fd = -1,
                               .end_ms = channel_clock_ms() + options->timeout_s * 1000ull };
    struct client_tls wish = { .uri = session->uri };
    const struct client_wishes wishes = {
        .export_name = session->uri->export_name,
        .structured_replies = !options->simple,
        .extended_headers = !options->simple && !options->no_extended_headers,
        .start_tls = session->uri->tls ? client_tls_start : NULL,
        .context = &wish,
    };
    int result = client_connect(&channel, session->uri, err);

    if (result == 0)
        result = client_handshake(info, &channel, &wishes, err);
    *tls = wish.client;
    if (result != 0) {
        tls_client_free(*tls);
        if (channel.fd >= 0)
            close(channel.fd);
        return result;
    }
    client_connect_settle(channel.fd);
    if (info->block_min_bytes == 0)
        info->block_min_bytes = 1;
    if (info->block_max_bytes == 0)
        info->block_max_bytes = NBD_PAYLOAD_BYTES_MAX; /* what servers take that say nothing */
    return channel.fd;
}

static int open_libnbd(struct bench_session *session, struct export_info *info, struct error *err)
{
    const struct bench_options *options = session->options;
    const struct libnbd_client_config config = {
        .uri = options->uri,
        .depth = options->depth,
        .block_max_bytes = options->block_max_bytes,
        .timeout_s = options->timeout_s,
        .keep_data = options->verify || options->read_back,
        .simple = options->simple,
        .no_extended_headers = options->no_extended_headers,
    };
    int result =
        libnbd_client_create(&session->clients[session->client_count].libnbd, &config, info, err);

    if (result == 0)
        session->client_count++;
    return result;
}

static int open_client(struct bench_session *session, struct export_info *info, struct error *err)
{
    const struct bench_options *options = session->options;
    struct bench_client_config config = {
        .name = session->options->uri,
        .depth = options->depth,
        .block_max_bytes = options->block_max_bytes,
        .keep_data = options->verify || options->read_back,
    };

    if (options->libnbd)
        return open_libnbd(session, info, err);
    config.fd = shake_hands(session, info, &config.tls, err);
    if (config.fd < 0)
        return config.fd;
    config.extended = info->extended_headers;
    int result = bench_client_create(&session->clients[session->client_count].own, &config, err);
    if (result == 0)
        session->client_count++;
    return result;
}

/* The first one tells what the export is; the others must hear the same. */
static int open_clients(struct bench_session *session, struct error *err)
{
    struct export_info info = { 0 };

    while (session->client_count < session->options->connections) {
        int result = open_client(session, &info, err);

        if (result != 0)
            return result;
        if (session->client_count == 1) {
            session->info = info;
            result = prepare(session, err);
        } else if (info.size_bytes != session->info.size_bytes) {
            result = error_set(err, -EPROTO, "export '%s' has another size on each connection",
                               session->uri->export_name);
        }
        if (result != 0)
            return result;
    }
    return 0;
}

int bench_session_open(struct bench_session *session, const struct bench_options *options,
                       const struct nbd_uri *uri, struct error *err)
{
    *session = (struct bench_session){ .options = options, .uri = uri };
    raise_descriptor_limit();
    session->clients = calloc(options->connections, sizeof *session->clients);
    if (session->clients == NULL)
        return error_no_memory(err, NULL);
    int result = open_clients(session, err);
    if (result != 0)
        error_prefix(err, "%s: ", options->uri);
    return result;
}

void bench_session_close(struct bench_session *session)
{
    for (unsigned i = 0; i < session->client_count; i++)
        load_connection_destroy(&session->clients[i]);
    free(session->clients);
    if (session->has_verify)
        verify_end(&session->verify);
}
