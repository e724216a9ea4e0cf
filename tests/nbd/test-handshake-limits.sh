#!/bin/bash
# A handshake that goes on for ever, sends absurd lengths or unknown client flags is ended; others are served
# all the while.
. "$(dirname "$0")/../support/functions.sh"

start_nbdcrypt --raw memory:1M
python - "$uri" <<'EOF'
import struct
import sys
from nbd_client import *

uri = sys.argv[1]
witness = Client(uri)


def negotiating():
    client = Client(uri, handshake=False)
    client.send_client_flags()
    return client


def ends(client, what):
    """The server closes, whatever it says before."""
    try:
        while client.receive_bytes(1):
            pass
    except (EndOfStream, ConnectionResetError):
        pass
    equal(f"another client's read after {what}", witness.read(0, 4), bytes(4))


# proto.md: unknown client flags drop the connection.
for bit in range(2, 32):
    client = Client(uri, handshake=False)
    client.send_client_flags(FLAG_FIXED_NEWSTYLE | 1 << bit)
    ends(client, f"client flag {bit}")

client = negotiating()
client.send_bytes(struct.pack(">QII", 0x49484156454F5055, OPT_LIST, 0))
ends(client, "a wrong option magic")

# Strings have 4096 bytes at most.  Longer ones get an error, and the next option is understood.
client = negotiating()
for length in (4097, 10000):
    for option, payload in ((OPT_GO, client.go_payload("x" * length)),
                            (OPT_INFO, client.go_payload("x" * length))):
        result = client.option_result(option, payload)
        if result not in (REP_ERR_TOO_BIG, REP_ERR_INVALID):
            raise AssertionError(f"name of {length} bytes: {result:#x}")
equal("name of 4096 bytes", client.option_result(OPT_GO, client.go_payload("x" * 4096)),
      REP_ERR_UNKNOWN)
client.option(OPT_ABORT)

# A length that nobody will ever send: an error or the end, at once.
for option in (OPT_LIST, OPT_GO, OPT_SET_META_CONTEXT, 77):
    client = negotiating()
    client.send_option(option, b"", 0xFFFFFFFF)
    try:
        client.socket.shutdown(1)
    except OSError:
        pass
    ends(client, f"option {option} of 4 GiB")

# Options without end.
client = negotiating()
try:
    for _ in range(10000):
        client.option(99)
    raise AssertionError("10,000 options in one handshake")
except (EndOfStream, ConnectionResetError, BrokenPipeError):
    pass
ends(client, "10,000 options")
witness.disconnect()
EOF
stop_nbdcrypt
