#!/bin/bash
# TRIM is absent from a LUKS export unless --discard is given, and then frees space of the file, never outside of
# what was asked; LUKS2's persistent flag allow-discards gives it, too (tests/luks/test-header-discard-flag.sh).
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

allocated_kib() {
    echo $(($(stat --format=%b "$1") / 2))
}
fallocate --length 1M "$test_dir/probe"
fallocate --punch-hole --offset 0 --length 1M "$test_dir/probe" ||
    skip "no holes can be punched in $test_dir"

refuses_trim() {
    [ "$pipeline" != raw ] || return 0
    python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    if client.flags & TF_TRIM:
        raise AssertionError("TRIM is advertised without --discard")
    client.write(0, b"T" * 65536)
    equal("TRIM", client.error_of(CMD_TRIM, 0, 65536), EINVAL)
    equal("data", client.read(0, 65536), b"T" * 65536)
EOF
}
on_each_pipeline 16M refuses_trim

frees_space() {
    local full trimmed

    python - "$uri" <<'EOF'
import sys
from nbd_client import *

MIB = 1 << 20
with Client(sys.argv[1]) as client:
    for at in range(0, client.size, 4 * MIB):
        client.write(at, b"T" * 4 * MIB)
    client.flush()
EOF
    full=$(allocated_kib "$image")
    python - "$uri" <<'EOF'
import sys
from nbd_client import *

MIB = 1 << 20
with Client(sys.argv[1]) as client:
    if not client.flags & TF_TRIM:
        raise AssertionError("TRIM is not advertised with --discard")
    start, length = MIB + 100, 12 * MIB
    client.trim(start, length)
    client.trim(14 * MIB + 1, 1)
    client.trim(14 * MIB + 4000, 200)
    client.flush()
    equal("data in front of TRIM", client.read(0, start), b"T" * start)
    rest = client.size - start - length
    data = bytearray(client.read(start + length, rest))
    # The contents of what was trimmed are undefined; the rest is not.
    for at, count in ((14 * MIB + 1, 1), (14 * MIB + 4000, 200)):
        at -= start + length
        data[at:at + count] = b"T" * count
    equal("data behind TRIM", bytes(data), b"T" * rest)
    # What was trimmed can be written again, beside it too.
    client.write(start, b"again")
    equal("written again", client.read(start - 1, 6), b"Tagain")
EOF
    trimmed=$(allocated_kib "$image")
    [ "$trimmed" -lt $((full - 11 * 1024)) ] ||
        fail "$full KiB were allocated, and $trimmed KiB are after 12 MiB were trimmed"
}
on_each_pipeline 16M frees_space --discard
