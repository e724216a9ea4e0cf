#!/bin/bash
# Every option of the handshake gets the answer that the specification wants; wrong ones get an error reply,
# and the next option is understood.
. "$(dirname "$0")/../support/functions.sh"

start_nbdcrypt --raw --name disk memory:1M
python - "$uri" <<'EOF'
import struct
import sys
from nbd_client import *

uri = sys.argv[1]


def negotiating(**arguments):
    client = Client(uri, handshake=False, **arguments)
    client.send_client_flags()
    return client


client = negotiating()
equal("handshake flags", client.handshake_flags & 3, FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES)

# Unknown ones, with and without payload.
for option in (OPT_PEEK_EXPORT, 12, 99, 0x7FFFFFFF, 0xFFFFFFFF):
    for data in (b"", b"x", b"y" * 5000):
        equal(f"option {option}", client.option_result(option, data), REP_ERR_UNSUP)

# There is no TLS here: never TLS_REQD, and the connection goes on.
if client.option_result(OPT_STARTTLS) not in (REP_ERR_UNSUP, REP_ERR_POLICY):
    raise AssertionError("STARTTLS without TLS")

# LIST
equal("LIST with data", client.option_result(OPT_LIST, b"data"), REP_ERR_INVALID)
replies = client.option(OPT_LIST)
equal("LIST", [kind for kind, _ in replies], [REP_SERVER, REP_ACK])
length, = struct.unpack(">I", replies[0][1][:4])
equal("name", replies[0][1][4:4 + length], b"disk")

# INFO and GO agree; unknown information is not an error.
every = (INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE, 99, 65535)
for infos in ((), (INFO_BLOCK_SIZE,), every):
    client.go(infos, option=OPT_INFO)
    first = dict(client.infos)
    client.go(infos, option=OPT_INFO)
    equal("INFO twice", client.infos, first)
equal("INFO_NAME", client.infos[INFO_NAME], b"disk")
equal("block sizes", client.block_sizes(), (1, 4096, 32 << 20))
for option in (OPT_INFO, OPT_GO):
    equal("unknown export", client.option_result(option, client.go_payload("nosuch")),
          REP_ERR_UNKNOWN)
    for payload in (b"", b"\0" * 3, struct.pack(">I", 100) + b"disk\0\0",
                    client.go_payload("disk") + b"x", client.go_payload("disk", (3, 3))[:-1],
                    struct.pack(">I", 0xFFFFFFFF) + b"disk\0\0",
                    struct.pack(">I4sH", 4, b"disk", 65535)):
        equal(f"option {option} with {payload!r}", client.option_result(option, payload),
              REP_ERR_INVALID)

# STRUCTURED_REPLY and contexts
payload = client.meta_payload("disk", ["base:allocation"])
equal("SET_META_CONTEXT before STRUCTURED_REPLY",
      client.option_result(OPT_SET_META_CONTEXT, payload), REP_ERR_INVALID)
equal("STRUCTURED_REPLY with data", client.option_result(OPT_STRUCTURED_REPLY, b"x"),
      REP_ERR_INVALID)
client.want_structured_replies()
for option in (OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT):
    for bad in (b"", b"\0" * 7, payload[:-1], payload + b"x",
                struct.pack(">I", 0xFFFFFFF0) + payload[4:],
                struct.pack(">I4sII", 4, b"disk", 0xFFFFFFFF, 3) + b"a:b",
                struct.pack(">I4sII", 4, b"disk", 1, 0xFFFFFFFF) + b"a:b"):
        equal(f"option {option} with {bad!r}", client.option_result(option, bad), REP_ERR_INVALID)
    equal("context of an unknown export",
          client.option_result(option, client.meta_payload("nosuch", [])), REP_ERR_UNKNOWN)


def contexts(option, *queries):
    replies = client.option(option, client.meta_payload("disk", queries))
    equal("last reply", replies[-1][0], REP_ACK)
    return [payload[4:].decode() for kind, payload in replies[:-1]]


equal("LIST of all contexts", contexts(OPT_LIST_META_CONTEXT), ["base:allocation"])
equal("LIST of base:", contexts(OPT_LIST_META_CONTEXT, "base:"), ["base:allocation"])
equal("LIST of others", contexts(OPT_LIST_META_CONTEXT, "qemu:", "base:nosuch", "x-y:z"), [])
equal("SET of one", contexts(OPT_SET_META_CONTEXT, "qemu:dirty-bitmap:a", "base:allocation"),
      ["base:allocation"])
equal("SET twice the same", contexts(OPT_SET_META_CONTEXT, "base:allocation", "base:allocation"),
      ["base:allocation"])
equal("SET of base:, which is no wildcard there", contexts(OPT_SET_META_CONTEXT, "base:"), [])
equal("SET of nothing", contexts(OPT_SET_META_CONTEXT), [])

equal("ABORT", client.option(OPT_ABORT, b"good bye"), [(REP_ACK, b"")])
client.expect_end()

# A SET that fails, or that selects nothing, forgets what was selected before.
for last, result in ((payload[:-1], REP_ERR_INVALID), (Client.meta_payload("disk", []), REP_ACK)):
    client = negotiating()
    client.want_structured_replies()
    equal("selected", client.want_contexts(["base:allocation"]), REP_ACK)
    equal("SET", client.option_result(OPT_SET_META_CONTEXT, last), result)
    client.go()
    equal("BLOCK_STATUS", client.error_of(CMD_BLOCK_STATUS, 0, 4096), EINVAL)
    equal("READ", client.error_of(CMD_READ, 0, 512), 0)
    client.disconnect()
EOF
stop_nbdcrypt
