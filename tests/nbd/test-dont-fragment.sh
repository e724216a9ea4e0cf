#!/bin/bash
# DF: reads of up to 64 KiB come as one chunk; larger ones too, or EOVERFLOW.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import sys
from nbd_client import *

uri, pipeline = sys.argv[1:]
simple, *others = all_styles(uri)
if simple.flags & TF_DF:
    raise AssertionError("DF is advertised without structured replies")
for structured in others:
    if not structured.flags & TF_DF:
        raise AssertionError("DF is not advertised")
    content = bytes(i * 7 % 253 for i in range(1 << 20))
    structured.write(0, content)
    for offset, length in ((0, 1), (0, 512), (0, 65536), (1, 65536), (511, 513), (4095, 65536),
                           (300000, 65535)):
        reply = structured.call(CMD_READ, offset, length, F_DF).check()
        equal("data", reply.data, content[offset:offset + length])
        data_chunks = [kind for kind, _ in reply.chunks if kind != CHUNK_NONE]
        equal(f"data chunks of {length} bytes at {offset}", data_chunks, [CHUNK_OFFSET_DATA])
    for length in (65537, 262144, 262145, 1 << 20):
        reply = structured.call(CMD_READ, 0, length, F_DF)
        if reply.error:
            equal(f"error of {length} bytes with DF", reply.error, EOVERFLOW)
        else:
            equal(f"data of {length} bytes", reply.data, content[:length])
            equal("data chunks", len([1 for kind, _ in reply.chunks if kind != CHUNK_NONE]), 1)
    structured.disconnect()
EOF
}
on_each_pipeline 16M check
