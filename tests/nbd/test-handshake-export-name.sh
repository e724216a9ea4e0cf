#!/bin/bash
# EXPORT_NAME works for old clients, with and without the 124 zero bytes; a name that is not there ends
# the connection.
. "$(dirname "$0")/../support/functions.sh"

start_nbdcrypt --raw --name disk memory:1M
python - "$uri" <<'EOF'
import struct
import sys
from nbd_client import *

uri = sys.argv[1]
for flags, padding in ((FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES, 0), (FLAG_FIXED_NEWSTYLE, 124),
                       (0, 124), (FLAG_NO_ZEROES, 0)):
    client = Client(uri, handshake=False)
    client.send_client_flags(flags)
    client.send_option(OPT_EXPORT_NAME, b"disk")
    size, transmission_flags = client.receive_struct(">QH")
    equal("padding", client.receive_bytes(padding), bytes(padding))
    equal("size", size, 1 << 20)
    if not transmission_flags & TF_HAS_FLAGS:
        raise AssertionError("HAS_FLAGS is clear")
    client.write(5, b"by name")
    equal("data", client.read(5, 7), b"by name")
    client.disconnect()
    for wrong in (b"nosuch", b"disk\0", b"dis", b"x" * 4096, b"x" * 5000):
        client = Client(uri, handshake=False)
        client.send_client_flags(flags)
        client.send_option(OPT_EXPORT_NAME, wrong)
        client.expect_end()

# After other options, too.
client = Client(uri, handshake=False)
client.send_client_flags()
client.want_structured_replies()
client.send_option(OPT_EXPORT_NAME, b"disk")
client.receive_bytes(10)
equal("data", client.read(0, 4), bytes(4))
client.disconnect()
EOF
stop_nbdcrypt
