import struct
import sys
from nbd_client import *

uri, pipeline = sys.argv[1:]


def negotiating(*options):
    """A client that has asked for these, and what it was answered."""
    client = Client(uri, handshake=False)
    client.send_client_flags()
    return client, [client.option_result(*option) for option in options]


def status_query(length, *contexts):
    return struct.pack(f">Q{len(contexts)}I", length, *contexts)


# ---- what is agreed on ----

EXTENDED = (OPT_EXTENDED_HEADERS,)
client, answers = negotiating((OPT_EXTENDED_HEADERS, b"x"), EXTENDED, EXTENDED, (OPT_STRUCTURED_REPLY,))
equal("answers", answers, [REP_ERR_INVALID, REP_ACK, REP_ERR_INVALID, REP_ERR_EXT_HEADER_REQD])
client.structured = client.extended = True
equal("contexts without structured replies", client.want_contexts(["base:allocation"]), REP_ACK)
client.go(option=OPT_INFO)
client.go()
equal("flags", client.flags & (TF_DF | TF_STATUS_PAYLOAD), TF_DF | TF_STATUS_PAYLOAD)
client.disconnect()

# Structured replies first are no hindrance.
client, answers = negotiating((OPT_STRUCTURED_REPLY,), EXTENDED)
equal("answers", answers, [REP_ACK, REP_ACK])
client.structured = client.extended = True
client.go()
equal("flags without a context", client.flags & TF_STATUS_PAYLOAD, 0)
equal("BLOCK_STATUS without a context", client.error_of(CMD_BLOCK_STATUS, 0, 4096), EINVAL)
client.disconnect()

# They need GO.
client, _ = negotiating(EXTENDED)
client.send_option(OPT_EXPORT_NAME, client.name.encode())
client.expect_end()

# ---- bytes ----

with Client(uri, extended=True) as client:
    client.send_bytes(struct.pack(">IHHQQQ", MAGIC_EXTENDED_REQUEST, F_PAYLOAD_LEN | F_FUA, CMD_WRITE, 77, 513, 5) + b"abcde")
    equal("reply to a WRITE", client.receive_bytes(32),
          struct.pack(">IHHQQQ", MAGIC_EXTENDED_REPLY, CHUNK_DONE, CHUNK_NONE, 77, 513, 0))
    client.send_bytes(struct.pack(">IHHQQQ", MAGIC_EXTENDED_REQUEST, 0, CMD_READ, 78, 514, 3))
    equal("reply to a READ", client.receive_bytes(32 + 8 + 3),
          struct.pack(">IHHQQQQ", MAGIC_EXTENDED_REPLY, CHUNK_DONE, CHUNK_OFFSET_DATA, 78, 514, 11, 514) + b"bcd")
    client.send_bytes(struct.pack(">IHHQQQ", MAGIC_EXTENDED_REQUEST, F_REQ_ONE, CMD_BLOCK_STATUS, 79, 0, 4096))
    flags, kind, cookie, offset, length = client.receive_struct(">4xHHQQQ")
    equal("reply to a BLOCK_STATUS", (flags, kind, cookie, offset, length),
          (CHUNK_DONE, CHUNK_BLOCK_STATUS_EXT, 79, 0, 8 + 16))
    context, count, extent, state = client.receive_struct(">IIQQ")
    equal("descriptor", (context, count, 0 < extent <= 4096, state & ~3), (client.contexts["base:allocation"], 1, True, 0))
    client.disconnect()

# A compact request ends it: nobody knows where the next one begins.
with Client(uri, extended=True) as client:
    client.send_bytes(struct.pack(">IHHQQI", MAGIC_REQUEST, 0, CMD_FLUSH, 1, 0, 0) + bytes(4))
    client.expect_end()
with Client(uri) as client:
    client.send_bytes(struct.pack(">IHHQQQ", MAGIC_EXTENDED_REQUEST, 0, CMD_FLUSH, 1, 0, 0))
    client.expect_end()

# ---- payloads ----

with Client(uri, extended=True) as client:
    client.write(0, b"C" * 4096)
    # QEMU does not announce the payload of a WRITE.
    client.outstanding[5] = (CMD_WRITE, 4096, 4096, 0)
    client.send_bytes(struct.pack(">IHHQQQ", MAGIC_EXTENDED_REQUEST, 0, CMD_WRITE, 5, 4096, 4096) + b"C" * 4096)
    equal("WRITE without PAYLOAD_LEN", client.receive().error, 0)
    # What is announced for others is read away, and they are refused.
    for command in (CMD_READ, CMD_TRIM, CMD_CACHE, CMD_WRITE_ZEROES, CMD_FLUSH, 9, 4711):
        for length in (1, 12, 4096, 1 << 20):
            equal(f"command {command} with a payload of {length} bytes",
                  client.error_of(command, 0, length, F_PAYLOAD_LEN, b"P" * length), EINVAL)
    equal("an empty payload", client.error_of(CMD_READ, 0, 0, F_PAYLOAD_LEN), EINVAL)
    equal("a WRITE of nothing", client.error_of(CMD_WRITE, 0, 0), 0)
    equal("data", client.read(0, 8192), b"C" * 8192)
    # BLOCK_STATUS of what was agreed on; the length stands in the payload.
    whole = client.extents(0, client.size)
    reply = client.call(CMD_BLOCK_STATUS, 0, 12, F_PAYLOAD_LEN, status_query(client.size, client.contexts["base:allocation"]))
    equal("extents", reply.check().extents, whole)
    reply = client.call(CMD_BLOCK_STATUS, 0, 12, F_PAYLOAD_LEN | F_REQ_ONE, status_query(4096, 1))
    equal("the first one", len(reply.check().extents), 1)
    for query in (status_query(4096), status_query(4096, 2), status_query(4096, 1, 1), status_query(4096, 1, 7), b"x",
                  status_query(0, 1), status_query(client.size + 1, 1), status_query(1 << 63, 1), status_query((1 << 64) - 1, 1)):
        equal(f"query {query.hex()}", client.error_of(CMD_BLOCK_STATUS, 0, len(query), F_PAYLOAD_LEN, query), EINVAL)
    client.disconnect()
with Client(uri) as client:
    equal("PAYLOAD_LEN with compact headers", client.error_of(CMD_READ, 0, 4096, F_PAYLOAD_LEN), EINVAL)
    client.disconnect()

# 32 MiB are taken, and what is longer ends the connection before it is sent.
with Client(uri, extended=True) as client:
    equal("WRITE of 32 MiB beyond the end", client.error_of(CMD_WRITE, 0, 32 << 20, 0, b"P" * (32 << 20)), ENOSPC)
    client.disconnect()
for command in (CMD_WRITE, CMD_READ, CMD_BLOCK_STATUS):
    for length in ((32 << 20) + 1, 1 << 32, 1 << 63, (1 << 64) - 1):
        with Client(uri, extended=True) as client:
            client.send(command, 0, length, F_PAYLOAD_LEN)
            client.expect_end()

# ---- lengths ----

with Client(uri, extended=True) as client:
    for length in (1 << 32, (1 << 32) + 4096, 1 << 63, (1 << 64) - 1):
        for command, error in ((CMD_READ, EINVAL), (CMD_TRIM, EINVAL), (CMD_CACHE, EINVAL), (CMD_BLOCK_STATUS, EINVAL),
                               (CMD_WRITE_ZEROES, ENOSPC)):
            for offset in (0, 4096, (1 << 64) - 4096):
                equal(f"command {command} of {length} bytes at {offset}", client.error_of(command, offset, length), error)
    equal("data", client.read(0, 8192), b"C" * 8192)
    client.disconnect()
