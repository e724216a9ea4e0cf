#!/bin/bash
# What is missing of an RBD image that is removed while it is served, or was cut, is never answered as zeros, nor told of
# as a hole: requests fail.  Holes of an image that is there are zeros all the same.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/ceph.sh"

requires nbdcopy --version
ceph_start memstore none
data=$(temp_file)
make_pattern "$data" 8M

# make_image NAME: 16 MiB, of which the first half is written, in small objects.
make_image() {
    ceph rbd create "$1" --size 16M --object-size 64K
    start_nbdcrypt --raw "$(ceph_image "$1")"
    nbdcopy --flush --destination-is-zero "$data" "$uri"
    stop_nbdcrypt
}

# start_readers: clients that read what is there until it fails, which must be with EIO, and must never be zeros.
# What is longer than 64 KiB lies in several objects.
start_readers() {
    local what

    readers=() started=$(temp_file)
    for what in 4096 100000 status; do
        "$PYTHON" - "$uri" "$data" $what "$started.$what" <<'EOF' &
import random
import sys
from nbd_client import *

data, what, started = open(sys.argv[2], "rb").read(), sys.argv[3], sys.argv[4]
length = 65536 if what == "status" else int(what)
reads = 0
with Client(sys.argv[1], timeout_s=300) as client:  # librbd may ask for the removed image for a minute
    try:
        while True:
            at = random.randrange((len(data) - length) // 4096) * 4096
            if what == "status":
                extents = client.extents(at, length)
                equal(f"holes at {at}", [flags for _, flags in extents if flags], [])
            else:
                equal(f"bytes at {at}", client.read(at, length), data[at:at + length])
            reads += 1
            if reads == 10:
                open(started, "w").close()
    except NbdError as failure:
        equal("error", failure.number, EIO)
EOF
        readers+=($!)
        remember_pid $!
    done
    for what in 4096 100000 status; do
        wait_until 30 test -e "$started.$what"
    done
}

has_ended() {
    ! kill -0 "$1" 2>>"$log_dir/kill"
}

# In Debian 12's librbd a look for extents that is under way then has no end now and then: who asked for block status waits.
wait_for_readers() {
    local reader tries=0

    until has_ended "${readers[2]}" || [ $((tries += 1)) -gt 300 ]; do sleep 0.1; done
    if ! has_ended "${readers[2]}"; then
        note "librbd looks for extents of the removed image without an end"
        kill -KILL "${readers[2]}"
        wait "${readers[2]}" || true
        unset "readers[2]"
    fi
    for reader in "${readers[@]}"; do
        wait "$reader" || fail "a reader was told something else than EIO while the image was removed"
    done
}

removed="it was removed from the cluster while it was served; requests fail from now on"

# ---- open for writing: `rbd rm` refuses, but its objects can be removed ----

make_image gone
start_nbdcrypt --raw --threads 2 "$(ceph_image gone)"
python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1], timeout_s=300) as client:  # librbd may ask for the removed image for a minute
    equal("a hole", client.read(12 << 20, 256 << 10), bytes(256 << 10))
    equal("both", client.read((8 << 20) - 4096, 8192)[4096:], bytes(4096))
    extents = client.extents(8 << 20, 1 << 20)
    equal("its status", extents, [(1 << 20, 3)])
EOF
id=$(ceph rbd info gone | sed -n 's/.*block_name_prefix: rbd_data\.//p')
ceph rados -p rbd ls | grep -E "\.$id|^rbd_id\.gone$" | sort -t . -k 1,1r >"$test_dir/objects" # its header before its data
readarray -t objects <"$test_dir/objects"
[ "${#objects[@]}" -ge 100 ] || fail "the image has other objects: ${objects[*]}"
start_readers
ceph rados -p rbd rm "${objects[@]}"
wait_for_readers
python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1], timeout_s=300) as client:  # librbd may ask for the removed image for a minute
    for command in CMD_READ, CMD_TRIM, CMD_WRITE_ZEROES, CMD_BLOCK_STATUS, CMD_FLUSH:
        equal(f"command {command}", client.error_of(command, 0, 0 if command == CMD_FLUSH else 4096), EIO)
    equal("WRITE", client.error_of(CMD_WRITE, 0, 0, 0, b"h" * 4096), EIO)
EOF
expect_match "$server_log" "image '[^']*gone': $removed"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
expect_equal "status of a server whose image was removed" 1 "$status" # the last flush
ceph rados -p rbd ls | grep -F "$id" && fail "something of the image was made again"

# ---- open for reading: nothing keeps it from being removed, or cut ----

make_image read
start_nbdcrypt --raw --read-only --threads 2 "$(ceph_image read)"
start_readers
ceph rbd rm read --no-progress
wait_for_readers
expect_match "$server_log" "image '[^']*read': $removed"
stop_nbdcrypt

# While `rbd resize` cuts an image, it is as large as before, and what it has removed already is zeros.
make_image cut
start_nbdcrypt --raw --read-only --threads 2 "$(ceph_image cut)"
nbdcopy "$uri" "$test_dir/before"
ceph rbd resize cut --size 1M --allow-shrink --no-progress
python - "$uri" "$data" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1], timeout_s=300) as client:  # librbd may ask for the removed image for a minute
    equal("a read behind the end", client.error_of(CMD_READ, 4 << 20, 4096), EIO)
    equal("a read across it", client.error_of(CMD_READ, (1 << 20) - 4096, 8192), EIO)
    equal("the status behind it", client.error_of(CMD_BLOCK_STATUS, 4 << 20, 4096), EIO)
    equal("what is left", client.read(0, 1 << 20), open(sys.argv[2], "rb").read(1 << 20))
EOF
expect_match "$server_log" 'it was cut to 1048576 bytes; requests behind that fail'
stop_nbdcrypt
