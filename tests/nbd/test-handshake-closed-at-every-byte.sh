#!/bin/bash
# A client that goes away at any byte of the handshake, politely or not, harms nobody.
. "$(dirname "$0")/../support/functions.sh"

start_nbdcrypt --raw --listen 127.0.0.1:0 memory:1M
python - "$uri" <<'EOF'
import socket
import struct
import sys
from nbd_client import *

uri = sys.argv[1]
witness = Client(uri)
option = lambda number, data=b"": struct.pack(">QII", MAGIC_OPTION, number, len(data)) + data
script = struct.pack(">I", 3) + option(OPT_STRUCTURED_REPLY) + option(
    OPT_SET_META_CONTEXT, Client.meta_payload("", ["base:allocation"])) + option(
    OPT_LIST) + option(OPT_GO, Client.go_payload("", (INFO_BLOCK_SIZE,))) + struct.pack(
    ">IHHQQI", MAGIC_REQUEST, 0, CMD_WRITE, 1, 0, 16) + b"w" * 16
for length in range(len(script) + 1):
    for rude in (False, True):
        stream, _ = connect(uri)
        if rude:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.sendall(script[:length])
        stream.close()
equal("another client's read", witness.read(100, 4), bytes(4))
witness.disconnect()
EOF
stop_nbdcrypt
