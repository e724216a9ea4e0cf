#include "bench/client-handshake.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "server/nbd-wire.h"

#define OPTION_REPLY_TEXT_MAX 4096u
#define OPTION_REPLIES_MAX 64u /* a server that has more to say about one export is broken */
#define BLOCK_MAX_DEFAULT (32u << 20)

/* ---- bytes ---- */

static int send_all(int fd, const uint8_t *data, size_t length_bytes, struct error *err)
{
    while (length_bytes > 0) {
        ssize_t sent = send(fd, data, length_bytes, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return error_set(err, -ETIMEDOUT, "the server takes nothing during the handshake");
        if (sent < 0)
            return error_set(err, -errno, "sending failed during the handshake: %s",
                             strerror(errno));
        data += sent;
        length_bytes -= (size_t)sent;
    }
    return 0;
}

static int receive_all(int fd, uint8_t *data, size_t length_bytes, struct error *err)
{
    while (length_bytes > 0) {
        ssize_t received = recv(fd, data, length_bytes, 0);

        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return error_set(err, -ETIMEDOUT, "the server does not answer during the handshake");
        if (received < 0)
            return error_set(err, -errno, "receiving failed during the handshake: %s",
                             strerror(errno));
        if (received == 0)
            return error_set(err, -ECONNRESET, "the server closed the connection during the "
                             "handshake");
        data += received;
        length_bytes -= (size_t)received;
    }
    return 0;
}

static int discard(int fd, uint32_t length_bytes, struct error *err)
{
    uint8_t waste[4096];

    while (length_bytes > 0) {
        uint32_t part = length_bytes < sizeof waste ? length_bytes : (uint32_t)sizeof waste;
        int code = receive_all(fd, waste, part, err);

        if (code != 0)
            return code;
        length_bytes -= part;
    }
    return 0;
}

/* ---- options and their replies ---- */

struct option_answer {
    uint32_t type;
    uint32_t length_bytes; /* of what came */
    uint32_t kept_bytes;   /* of it, in `data` */
    uint8_t data[OPTION_REPLY_TEXT_MAX + 1];
};

static int send_option(int fd, uint32_t option, const uint8_t *data, uint32_t length_bytes,
                       struct error *err)
{
    uint8_t header[NBD_OPTION_HEADER_BYTES];

    nbd_encode_option_header(header, &(struct nbd_option_header){ option, length_bytes });
    int code = send_all(fd, header, sizeof header, err);
    return code == 0 ? send_all(fd, data, length_bytes, err) : code;
}

static int receive_answer(int fd, uint32_t option, struct option_answer *answer, struct error *err)
{
    uint8_t header[NBD_OPTION_REPLY_BYTES];
    struct nbd_option_reply reply;
    int code = receive_all(fd, header, sizeof header, err);

    if (code != 0)
        return code;
    if (!nbd_decode_option_reply(header, &reply) || reply.option != option)
        return error_set(err, -EPROTO, "the server's answer to %s is not NBD",
                         nbd_option_name(option));
    answer->type = reply.type;
    answer->length_bytes = reply.length_bytes;
    answer->kept_bytes = reply.length_bytes < OPTION_REPLY_TEXT_MAX ? reply.length_bytes
                                                                     : OPTION_REPLY_TEXT_MAX;
    code = receive_all(fd, answer->data, answer->kept_bytes, err);
    answer->data[answer->kept_bytes] = '\0';
    return code == 0 ? discard(fd, reply.length_bytes - answer->kept_bytes, err) : code;
}

static const char *refusal_text(uint32_t type)
{
    switch (type) {
    case NBD_REP_ERR_POLICY:
        return "it is forbidden";
    case NBD_REP_ERR_TLS_REQD:
        return "it is served with TLS only, which this program does not speak";
    case NBD_REP_ERR_UNKNOWN:
        return "there is no such export";
    case NBD_REP_ERR_SHUTDOWN:
        return "the server is ending";
    default:
        return "the server refuses";
    }
}

static int refused(const struct option_answer *answer, const char *name, struct error *err)
{
    const char *words = (const char *)answer->data;

    return error_set(err, -ECONNREFUSED, "export '%s': %s%s%.500s%s", name,
                     refusal_text(answer->type), *words ? " (the server says: " : "", words,
                     *words ? ")" : "");
}

/* ---- the steps, in order ---- */

static int greet(int fd, bool *no_zeroes, struct error *err)
{
    uint8_t greeting[NBD_GREETING_BYTES], answer[NBD_CLIENT_FLAGS_BYTES];
    uint16_t flags;
    int code = receive_all(fd, greeting, sizeof greeting, err);

    if (code != 0)
        return code;
    if (!nbd_decode_greeting(greeting, &flags) || (flags & NBD_FLAG_FIXED_NEWSTYLE) == 0)
        return error_set(err, -EPROTO, "this is no NBD server, or one from before 2011");
    *no_zeroes = (flags & NBD_FLAG_NO_ZEROES) != 0;
    nbd_put_u32(answer, NBD_FLAG_C_FIXED_NEWSTYLE | (*no_zeroes ? NBD_FLAG_C_NO_ZEROES : 0));
    return send_all(fd, answer, sizeof answer, err);
}

static int ask_for_structured_replies(int fd, bool *got, struct error *err)
{
    struct option_answer answer;
    int code = send_option(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0, err);

    if (code == 0)
        code = receive_answer(fd, NBD_OPT_STRUCTURED_REPLY, &answer, err);
    if (code == 0)
        *got = answer.type == NBD_REP_ACK;
    return code;
}

/* One NBD_REP_INFO: 16 bits type, then what the type has. */
static void take_info(struct export_info *info, const struct option_answer *answer, bool *complete)
{
    uint16_t type = answer->length_bytes >= 2 ? nbd_get_u16(answer->data) : UINT16_MAX;

    if (type == NBD_INFO_EXPORT && answer->length_bytes == 12) {
        info->size_bytes = nbd_get_u64(answer->data + 2);
        info->flags = nbd_get_u16(answer->data + 10);
        *complete = true;
    } else if (type == NBD_INFO_BLOCK_SIZE && answer->length_bytes == 14) {
        info->block_min_bytes = nbd_get_u32(answer->data + 2);
        info->block_max_bytes = nbd_get_u32(answer->data + 10);
    }
}

/* 1: the server does not know GO. */
static int take_go_answers(struct export_info *info, int fd, const char *name, struct error *err)
{
    struct option_answer answer;
    bool complete = false;

    for (unsigned i = 0; i < OPTION_REPLIES_MAX; i++) {
        int code = receive_answer(fd, NBD_OPT_GO, &answer, err);

        if (code != 0)
            return code;
        if (answer.type == NBD_REP_ACK && complete)
            return 0;
        if (answer.type == NBD_REP_ERR_UNSUP)
            return 1;
        if (answer.type != NBD_REP_INFO)
            return refused(&answer, name, err);
        take_info(info, &answer, &complete);
    }
    return error_set(err, -EPROTO, "export '%s': the server's answer to GO does not end", name);
}

static int go(struct export_info *info, int fd, const char *name, struct error *err)
{
    uint8_t data[4 + NBD_STRING_BYTES_MAX + 4];
    uint32_t name_bytes = (uint32_t)strlen(name);

    nbd_put_u32(data, name_bytes);
    memcpy(data + 4, name, name_bytes);
    nbd_put_u16(data + 4 + name_bytes, 1); /* one piece of information is asked for */
    nbd_put_u16(data + 6 + name_bytes, NBD_INFO_BLOCK_SIZE);
    int code = send_option(fd, NBD_OPT_GO, data, 8 + name_bytes, err);
    return code == 0 ? take_go_answers(info, fd, name, err) : code;
}

/* The old way, without an answer but the export itself: a server that refuses just closes. */
static int go_by_name(struct export_info *info, int fd, const char *name, bool no_zeroes,
                      struct error *err)
{
    uint8_t reply[NBD_EXPORT_NAME_REPLY_BYTES];
    int code = send_option(fd, NBD_OPT_EXPORT_NAME, (const uint8_t *)name,
                           (uint32_t)strlen(name), err);

    if (code == 0)
        code = receive_all(fd, reply, sizeof reply, err);
    if (code != 0) {
        error_prefix(err, "export '%s': ", name);
        return code;
    }
    info->size_bytes = nbd_get_u64(reply);
    info->flags = nbd_get_u16(reply + 8);
    return no_zeroes ? 0 : discard(fd, NBD_EXPORT_NAME_ZEROES_BYTES, err);
}

int client_handshake(struct export_info *out, int fd, const char *name, bool want_structured,
                     struct error *err)
{
    bool no_zeroes = false;

    *out = (struct export_info){ .block_min_bytes = 1, .block_max_bytes = BLOCK_MAX_DEFAULT };
    int code = greet(fd, &no_zeroes, err);
    if (code == 0 && want_structured)
        code = ask_for_structured_replies(fd, &out->structured_replies, err);
    if (code == 0)
        code = go(out, fd, name, err);
    if (code == 1)
        code = go_by_name(out, fd, name, no_zeroes, err);
    if (code == 0 && out->size_bytes > INT64_MAX)
        code = error_set(err, -EPROTO, "export '%s': the server says that it has %llu bytes, "
                         "which cannot be", name, (unsigned long long)out->size_bytes);
    return code;
}
