#!/bin/bash
# RBD: nothing that was answered and flushed is lost when the OSD is killed and started again under load (requests
# wait meanwhile, and then go on), nor when the server is killed; keys are changed beside a server that shares the lock;
# librbd's own LUKS reads what we wrote, and we what it wrote.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/ceph.sh"

requires cryptsetup --version

ceph_start bluestore none
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
record=$(temp_file) new_key=$(temp_file) plain=$(temp_file) copy=$(temp_file)
printf 'a walrus on a bicycle' >"$new_key"
ceph rbd create disk --size 32M
disk=$(ceph_image disk)
expect_success format --key-file "$passphrase" "${fast[@]}" "$disk"

# ---- a writer that records what was flushed, until it is cut off or told to stop ----

# start_writer ROUND
start_writer() {
    rm -f "$record".*
    "$PYTHON" - "$uri" "$record" "$1" <<'EOF' &
import json
import os
import random
import sys
from nbd_client import *

uri, record, round_number = sys.argv[1], sys.argv[2], int(sys.argv[3])
PIECE = 3000
order = list(range(5000))
random.Random(round_number).shuffle(order)
writer, flusher = Client(uri), Client(uri)
flushed = 0
try:
    while flushed < len(order) and not os.path.exists(record + ".stop"):
        batch = order[flushed:flushed + 16]
        for piece in batch:
            writer.send(CMD_WRITE, piece * PIECE, 0, 0, bytes([piece % 250 + round_number]) * PIECE)
        for reply in writer.receive_all().values():
            reply.check()
        flusher.flush()
        flushed += len(batch)
        with open(record + ".count", "w") as count:
            count.write(str(flushed))
except (EndOfStream, ConnectionResetError, BrokenPipeError):
    pass
json.dump(order[:flushed], open(record, "w"))
EOF
    writer=$!
    remember_pid "$writer"
}

count_is_beyond() {
    [ "$(cat "$record.count" 2>/dev/null || echo 0)" -gt "$1" ]
}

# check_record ROUND
check_record() {
    python - "$uri" "$record" "$1" <<'EOF'
import json
import sys
from nbd_client import *

record, round_number = json.load(open(sys.argv[2])), int(sys.argv[3])
with Client(sys.argv[1]) as client:
    for piece in record:
        equal(f"piece {piece}", client.read(piece * 3000, 3000), bytes([piece % 250 + round_number]) * 3000)
print(len(record))
EOF
}

# ---- the OSD is killed ----

start_nbdcrypt --key-file "$passphrase" --threads 2 "$disk"
start_writer 1
wait_until 30 count_is_beyond 100
ceph_kill "$ceph_osd_pid"
stood=$(cat "$record.count")
sleep 0.5 # it must not fail meanwhile
kill -0 "$writer" || fail "the writer did not wait for the OSD"
ceph_start_osd
wait_until 60 count_is_beyond $((stood + 200))
touch "$record.stop"
wait "$writer"
check_record 1 >"$log_dir/checked"

# ---- the server is killed; the next one waits for the cluster to give it up ----

start_writer 2
wait_until 30 count_is_beyond 100
kill_nbdcrypt
wait "$writer"
start_nbdcrypt --key-file "$passphrase" --threads 2 "$disk"
check_record 2 >"$log_dir/checked"
stop_nbdcrypt

# What librbd says when the server does not give the lock up at once is no error.
key_change() {
    run_nbdcrypt key change "$@"
    expect_equal "status of 'key change': $(cat "$err")" 0 "$status"
}

# ---- lock=shared: keys are changed while a client writes, and the server goes on ----

shared=$(ceph_image disk lock=shared)
start_nbdcrypt --key-file "$passphrase" --threads 2 "$shared"
start_writer 3
wait_until 30 count_is_beyond 50
for _ in 1 2; do
    stood=$(cat "$record.count")
    key_change --key-file "$passphrase" --new-key-file "$new_key" "${fast[@]}" "$shared"
    key_change --key-file "$new_key" --new-key-file "$passphrase" "${fast[@]}" "$shared"
    wait_until 30 count_is_beyond $((stood + 16))
done
key_change --key-file "$passphrase" --new-key-file "$new_key" "${fast[@]}" "$shared"
touch "$record.stop"
wait "$writer"
check_record 3 >"$log_dir/checked"
run_nbdcrypt erase --yes "$shared&lock-wait=0"
expect_match "$err" 'another client .* has it open for writing'
make_pattern "$copy" 16M # all of it: librbd takes what was never written for zeros, and does not decrypt it
nbdcopy "$copy" "$uri"
stop_nbdcrypt

# ---- librbd's own LUKS ----

encryption() {
    timeout 60 "$ceph_programs/rbd-encryption" "$ceph_conf" rbd "$@"
}
encryption disk 2 "$new_key" read "$plain"
cmp "$plain" "$copy"
make_pattern "$plain" 4M
encryption disk 2 "$new_key" write "$plain"
start_nbdcrypt --key-file "$new_key" "$disk"
nbdcopy "$uri" "$copy"
cmp --bytes=4194304 "$copy" "$plain"
stop_nbdcrypt

ceph rbd create one --size 8M
expect_success format --type luks1 --key-file "$passphrase" "${fast[@]}" "$(ceph_image one)"
encryption one 1 "$passphrase" write <(head -c 1M "$plain")
start_nbdcrypt --key-file "$passphrase" "$(ceph_image one)"
nbdcopy "$uri" "$copy"
cmp --bytes=1048576 "$copy" "$plain"
stop_nbdcrypt

# A clone that a newer librbd encrypted layer by layer has a mark of its own.
printf 'RBDL\272\276' >"$copy"
truncate --size=16M "$copy"
ceph rbd import --no-progress "$copy" layered 2>>"$log_dir/rbd"
run_nbdcrypt info "$(ceph_image layered)"
expect_match "$err" 'it holds an RBD clone that librbd encrypted, layer by layer'
run_nbdcrypt serve --unix "$(temp_socket)" --key-file "$passphrase" "$(ceph_image layered)"
expect_match "$err" 'no LUKS header found'
