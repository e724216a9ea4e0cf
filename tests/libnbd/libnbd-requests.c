#include "tests/libnbd/libnbd-requests.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_MAX 16u
#define WRONG_SHOWN_MAX 20u
#define ANSWER_MS_MAX 60000

static const char *const kind_names[KINDS] = {
    [READ] = "read",   [READ_CHUNKS] = "structured read",
    [WRITE] = "write", [ZERO] = "zero",
    [TRIM] = "trim",   [CACHE] = "cache",
    [FLUSH] = "flush", [STATUS] = "block status",
};

static unsigned wrongs;
static uint64_t drawn = 1;

void wrong(const char *format, ...)
{
    va_list arguments;

    if (wrongs++ >= WRONG_SHOWN_MAX)
        return;
    va_start(arguments, format);
    fputs("wrong: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

unsigned wrong_count(void)
{
    return wrongs;
}

void draw_seed(uint64_t seed)
{
    drawn = seed * 0x9e3779b97f4a7c15u + 1;
}

/* Marsaglia's xorshift64*. */
uint64_t draw(uint64_t below)
{
    drawn ^= drawn >> 12;
    drawn ^= drawn << 25;
    drawn ^= drawn >> 27;
    return (drawn * 0x2545f4914f6cdd1du >> 16) % below;
}

/* LIBNBD_CLIENT_EXTENDED: a newer libnbd than the one of the header must have agreed on them. */
static void check_headers(struct nbd_handle *nbd)
{
    int (*extended)(struct nbd_handle *) =
        (int (*)(struct nbd_handle *))dlsym(RTLD_DEFAULT, "nbd_get_extended_headers_negotiated");

    if (getenv("LIBNBD_CLIENT_EXTENDED") != NULL && (extended == NULL || extended(nbd) != 1))
        wrong("there are no extended headers");
}

struct nbd_handle *connect_to(const char *uri)
{
    struct nbd_handle *nbd = nbd_create();

    if (nbd == NULL || nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
        nbd_set_uri_allow_local_file(nbd, true) != 0 || nbd_set_strict_mode(nbd, 0) != 0 ||
        nbd_connect_uri(nbd, uri) != 0) {
        fprintf(stderr, "%s: can't connect: %s\n", uri, nbd_get_error());
        exit(1);
    }
    check_headers(nbd);
    return nbd;
}

/* ---- answers ---- */

static void describe(char text[128], const struct request *request)
{
    (void)snprintf(text, 128, "%s of %llu bytes at %llu, flags %#x", kind_names[request->kind],
                   (unsigned long long)request->length_bytes,
                   (unsigned long long)request->offset_bytes, request->flags);
}

static bool writes(enum kind kind)
{
    return kind == WRITE || kind == ZERO || kind == TRIM;
}

/* nbd_aio_pread_structured(3). */
static int take_chunk(void *context, const void *data, size_t length_bytes, uint64_t offset_bytes,
                      unsigned status, int *error)
{
    struct request *request = context;
    uint64_t start = offset_bytes - request->offset_bytes;
    char text[128];

    (void)error;
    describe(text, request);
    request->chunks++;
    if (status == LIBNBD_READ_ERROR) {
        wrong("%s: an error at %llu", text, (unsigned long long)offset_bytes);
        return 0;
    }
    if (status == LIBNBD_READ_DATA && data != request->data + start)
        wrong("%s: data is not where it belongs", text);
    if (offset_bytes < request->offset_bytes || length_bytes == 0 ||
        start + length_bytes > request->length_bytes) {
        wrong("%s: a chunk of %zu bytes at %llu", text, length_bytes,
              (unsigned long long)offset_bytes);
        return 0;
    }
    if (memchr(request->seen + start, 1, length_bytes) != NULL)
        wrong("%s: chunks overlap", text);
    memset(request->seen + start, 1, length_bytes);
    return 0;
}

/* nbd_aio_block_status(3): lengths and flags by turns. */
static int take_extents(void *context, const char *metacontext, uint64_t offset_bytes,
                        uint32_t *entries, size_t entry_count, int *error)
{
    struct request *request = context;
    uint64_t at = request->offset_bytes, end = at + request->length_bytes, wrong_at;
    char text[128];

    (void)error;
    describe(text, request);
    if (strcmp(metacontext, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 || offset_bytes != at ||
        request->has_extents || entry_count == 0)
        wrong("%s: extents of %s at %llu", text, metacontext, (unsigned long long)offset_bytes);
    request->has_extents = true;
    for (size_t i = 0; i + 1 < entry_count; i += 2) {
        uint32_t length_bytes = entries[i], flags = entries[i + 1];

        if (length_bytes == 0 || at >= end || at + length_bytes > request->all->model->size_bytes)
            wrong("%s: an extent of %u bytes at %llu", text, length_bytes, (unsigned long long)at);
        uint64_t inside = length_bytes < end - at ? length_bytes : end - at;
        if (at < end && (flags & LIBNBD_STATE_ZERO) != 0 &&
            !disk_model_agrees(request->all->model, at, inside, NULL, &wrong_at))
            wrong("%s: it says zeros at %llu, where there are none", text,
                  (unsigned long long)wrong_at);
        if ((flags & ~(uint32_t)(LIBNBD_STATE_ZERO | LIBNBD_STATE_HOLE)) != 0)
            wrong("%s: flags %#x", text, flags);
        at += length_bytes;
    }
    if ((request->flags & LIBNBD_CMD_FLAG_REQ_ONE) != 0 && (entry_count != 2 || at > end))
        wrong("%s: one extent was asked for", text);
    return 0;
}

static void check_read(struct request *request, const char *text)
{
    uint64_t wrong_at;

    if (request->kind == READ_CHUNKS &&
        memchr(request->seen, 0, (size_t)request->length_bytes) != NULL)
        wrong("%s: some bytes have not come", text);
    if ((request->flags & LIBNBD_CMD_FLAG_DF) != 0 && request->chunks != 1)
        wrong("%s: %u chunks", text, request->chunks);
    if (!disk_model_agrees(request->all->model, request->offset_bytes, request->length_bytes,
                           request->data, &wrong_at))
        wrong("%s: byte %llu is %#x and must be %#x", text, (unsigned long long)wrong_at,
              request->data[wrong_at - request->offset_bytes],
              request->all->model->bytes[wrong_at]);
}

static void check_answer(struct request *request)
{
    struct disk_model *model = request->all->model;
    uint64_t offset_bytes = request->offset_bytes, length_bytes = request->length_bytes;
    char text[128];

    describe(text, request);
    if (request->kind == READ || request->kind == READ_CHUNKS)
        check_read(request, text);
    if (request->kind == STATUS && !request->has_extents)
        wrong("%s: no extents have come", text);
    if (request->kind == WRITE || request->kind == ZERO)
        disk_model_write(model, offset_bytes, length_bytes, request->data);
    if (request->kind == TRIM)
        disk_model_forget(model, offset_bytes, length_bytes);
}

/* nbd_completion_callback: 1 retires the command. */
static int completed(void *context, int *error)
{
    struct request *request = context;
    char text[128];

    describe(text, request);
    request->answered = *error == 0;
    if (*error == 0)
        check_answer(request);
    else if (!request->may_be_lost)
        wrong("%s: %s", text, strerror(*error));
    return 1;
}

/* libnbd needs the request no more: it was completed, or the connection was closed first. */
static void retire(void *context)
{
    struct request *request = context;
    struct requests *all = request->all;

    if (!request->answered && writes(request->kind))
        disk_model_forget(all->model, request->offset_bytes, request->length_bytes);
    if (request->kind != FLUSH)
        disk_model_release(all->model, request->offset_bytes, request->length_bytes,
                           writes(request->kind));
    all->in_flight--;
    if (request->answered)
        all->answered[request->kind]++;
    else
        all->lost++;
    free(request->data);
    free(request->seen);
    free(request);
}

/* ---- requests ---- */

static bool is_offered(struct nbd_handle *nbd, enum kind kind)
{
    switch (kind) {
    case WRITE:
        return nbd_is_read_only(nbd) == 0;
    case ZERO:
        return nbd_can_zero(nbd) == 1;
    case TRIM:
        return nbd_can_trim(nbd) == 1;
    case CACHE:
        return nbd_can_cache(nbd) == 1;
    case FLUSH:
        return nbd_can_flush(nbd) == 1;
    case STATUS:
        return nbd_can_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    default:
        return true;
    }
}

static struct request *new_request(struct requests *all, enum kind kind, uint64_t length_bytes)
{
    struct request *request = calloc(1, sizeof *request);

    if (request == NULL)
        abort();
    request->all = all;
    request->kind = kind;
    request->length_bytes = length_bytes;
    if (kind == READ || kind == READ_CHUNKS || kind == WRITE)
        request->data = malloc(length_bytes + 8);
    if (kind == READ_CHUNKS)
        request->seen = calloc(length_bytes, 1);
    return request;
}

static void draw_data(uint8_t *data, uint64_t length_bytes)
{
    bool zeros = draw(4) == 0;

    for (uint64_t i = 0; i < length_bytes; i += 8) {
        uint64_t word = zeros ? 0 : draw(UINT64_MAX);

        memcpy(data + i, &word, 8);
    }
}

static int64_t submit(struct nbd_handle *nbd, struct request *request)
{
    nbd_completion_callback done = { .callback = completed, .user_data = request, .free = retire };
    uint64_t offset = request->offset_bytes, length = request->length_bytes;
    uint32_t flags = request->flags;

    switch (request->kind) {
    case READ:
        return nbd_aio_pread(nbd, request->data, length, offset, done, flags);
    case READ_CHUNKS:
        return nbd_aio_pread_structured(
            nbd, request->data, length, offset,
            (nbd_chunk_callback){ .callback = take_chunk, .user_data = request }, done, flags);
    case WRITE:
        return nbd_aio_pwrite(nbd, request->data, length, offset, done, flags);
    case ZERO:
        return nbd_aio_zero(nbd, length, offset, done, flags);
    case TRIM:
        return nbd_aio_trim(nbd, length, offset, done, flags);
    case CACHE:
        return nbd_aio_cache(nbd, length, offset, done, flags);
    case FLUSH:
        return nbd_aio_flush(nbd, done, flags);
    default:
        return nbd_aio_block_status(
            nbd, length, offset,
            (nbd_extent_callback){ .callback = take_extents, .user_data = request }, done, flags);
    }
}

bool request_submit(struct requests *all, struct nbd_handle *nbd, enum kind kind,
                    uint64_t offset_bytes, uint64_t length_bytes, uint32_t flags, bool may_be_lost)
{
    if (kind == FLUSH)
        offset_bytes = length_bytes = 0;
    if (!is_offered(nbd, kind) ||
        (kind != FLUSH && !disk_model_claim(all->model, offset_bytes, length_bytes, writes(kind))))
        return false;
    struct request *request = new_request(all, kind, length_bytes);

    request->offset_bytes = offset_bytes;
    request->flags = flags;
    request->may_be_lost = may_be_lost;
    if (kind == WRITE)
        draw_data(request->data, length_bytes);
    all->asked[kind]++;
    if (++all->in_flight > all->most_in_flight)
        all->most_in_flight = all->in_flight;
    if (submit(nbd, request) == -1) {
        wrong("%s can't be submitted: %s", kind_names[kind], nbd_get_error());
        exit(1);
    }
    return true;
}

static short events_of(struct nbd_handle *nbd)
{
    unsigned direction = nbd_aio_get_direction(nbd);

    return (short)(((direction & LIBNBD_AIO_DIRECTION_READ) != 0 ? POLLIN : 0) |
                   ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 ? POLLOUT : 0));
}

void requests_wait(struct nbd_handle **connections, unsigned count)
{
    struct pollfd sockets[CONNECTIONS_MAX];

    for (unsigned i = 0; i < count; i++)
        sockets[i] = (struct pollfd){ .fd = nbd_aio_get_fd(connections[i]),
                                      .events = events_of(connections[i]) };
    if (poll(sockets, count, ANSWER_MS_MAX) <= 0) {
        wrong("no answer for %d s", ANSWER_MS_MAX / 1000);
        exit(1);
    }
    for (unsigned i = 0; i < count; i++) {
        int result = 0;

        if ((sockets[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
            (events_of(connections[i]) & POLLIN) != 0)
            result = nbd_aio_notify_read(connections[i]);
        else if ((sockets[i].revents & POLLOUT) != 0)
            result = nbd_aio_notify_write(connections[i]);
        if (result != 0 || nbd_aio_is_dead(connections[i])) {
            wrong("the connection is lost: %s", nbd_get_error());
            exit(1);
        }
    }
}

void requests_drain(struct requests *all, struct nbd_handle **connections, unsigned count)
{
    while (all->in_flight > 0)
        requests_wait(connections, count);
}
