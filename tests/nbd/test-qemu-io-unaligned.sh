#!/bin/bash
# qemu-io writes and reads patterns at odd offsets and lengths.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires qemu-io --version

io() {
    qemu-io -f raw "$@" "$uri" >"$log_dir/qemu-io" 2>&1
    # It reports a wrong pattern, but does not always fail.
    if grep -qiE 'failed|mismatch|error' "$log_dir/qemu-io"; then
        fail "qemu-io is not content"
    fi
}

check() {
    io -c 'write -P 0x11 0 1M' -c 'write -P 0x22 1 511' -c 'write -P 0x33 1000 3000' \
        -c 'write -P 0x44 4095 2' -c 'write -P 0x55 65536 131071' -c 'write -z 200001 4099' \
        -c 'write -P 0x66 -f 300000 1' -c flush
    io -c 'read -P 0x11 0 1' -c 'read -P 0x22 1 511' -c 'read -P 0x11 512 488' \
        -c 'read -P 0x33 1000 3000' -c 'read -P 0x11 4000 95' -c 'read -P 0x44 4095 2' \
        -c 'read -P 0x11 4097 61439' -c 'read -P 0x55 65536 131071' -c 'read -P 0x11 196607 3394' \
        -c 'read -P 0 200001 4099' -c 'read -P 0x11 204100 95900' -c 'read -P 0x66 300000 1' \
        -c 'read -P 0x11 300001 748575'
    # Several requests in flight.
    io -c 'aio_write -P 0x77 3 5000' -c 'aio_write -P 0x78 5003 5000' -c 'aio_write -P 0x79 10003 5000' \
        -c aio_flush -c 'read -P 0x77 3 5000' -c 'read -P 0x78 5003 5000' -c 'read -P 0x79 10003 5000'
    # And qemu-io can fail.
    if (io -c 'read -P 0x12 0 1') 2>/dev/null; then
        fail "qemu-io does not see a wrong pattern"
    fi
}
on_each_pipeline 4M check
