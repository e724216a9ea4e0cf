#!/bin/bash
# What the disk below cannot read gets EIO, and the connection goes on; here the image becomes shorter while it
# is served.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    local size_bytes

    size_bytes=$(size_of "$image")
    python - "$uri" "$image" "$pipeline" <<'EOF'
import os
import sys
from nbd_client import *

uri, image, pipeline = sys.argv[1:]
MIB = 1 << 20
size_bytes = os.stat(image).st_size
for client in all_styles(uri):
    client.write(0, b"e" * client.size)
    client.flush()
    os.truncate(image, size_bytes - 4 * MIB)
    start = client.size - 4 * MIB
    equal("READ behind the new end", client.error_of(CMD_READ, start, 4096), EIO)
    equal("odd READ", client.error_of(CMD_READ, start + 1001, 77), EIO)
    # A simple reply says "success" before the data: a long READ that fails later can only end the connection.
    whole = Client(uri, structured=client.structured)
    try:
        equal("READ of all", whole.error_of(CMD_READ, 0, client.size), EIO)
        equal("READ in front of it", whole.read(0, MIB), b"e" * MIB)
    except EndOfStream:
        if client.structured:
            raise
    equal("READ across the new end", client.error_of(CMD_READ, start - 4096, 8192), EIO)
    if pipeline != "raw":
        # The sector that it would change cannot be read.
        equal("odd WRITE", client.error_of(CMD_WRITE, start + MIB + 5, 100, 0, b"x" * 100), EIO)
    equal("READ in front of it", client.read(0, MIB), b"e" * MIB)
    client.write(0, b"still here")
    equal("READ", client.read(0, 10), b"still here")
    os.truncate(image, size_bytes)
    client.write(start, b"o" * 4 * MIB)
    equal("READ when it is long again", client.read(start, 4 * MIB), b"o" * 4 * MIB)
    client.disconnect()
EOF
    expect_equal "size of the image" "$size_bytes" "$(size_of "$image")"
}
on_each_pipeline 16M check
