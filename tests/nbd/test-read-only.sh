#!/bin/bash
# A read-only export says so, answers EPERM to everything that would change it, and changes nothing.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

refuses_writes() {
    local before

    before=$(sha256_of "$image")
    python - "$uri" <<'EOF'
import sys
from nbd_client import *

for client in all_styles(sys.argv[1]):
    if not client.flags & TF_READ_ONLY:
        raise AssertionError(f"READ_ONLY is not advertised: {client.flags:#x}")
    before = client.read(0, 65536)
    for length in (1, 512, 4096, 1 << 20, 32 << 20):
        equal(f"WRITE of {length}",
              client.error_of(CMD_WRITE, 0, length, 0, b"X" * length), EPERM)
    equal("WRITE with FUA", client.error_of(CMD_WRITE, 0, 512, F_FUA, b"X" * 512), EPERM)
    equal("WRITE_ZEROES", client.error_of(CMD_WRITE_ZEROES, 0, 4096), EPERM)
    equal("WRITE_ZEROES, odd", client.error_of(CMD_WRITE_ZEROES, 3, 5), EPERM)
    equal("TRIM", client.error_of(CMD_TRIM, 0, 1 << 20), EPERM)
    equal("FLUSH", client.error_of(CMD_FLUSH), 0)
    equal("read afterwards", client.read(0, 65536), before)
    client.disconnect()
EOF
    expect_equal "checksum of the image" "$before" "$(sha256_of "$image")"
}
on_each_pipeline 48M refuses_writes --read-only
