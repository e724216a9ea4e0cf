#!/bin/bash
# What goes wrong with an RBD image: what is missing or refused at the start, an OSD that is silent, resizes, a lock that
# is broken.  Each has its message, and the client an error; nothing hangs for ever, and nothing is written unprotected.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/ceph.sh"

ceph_start memstore cephx
ceph rbd create disk --size 32M
disk=$(ceph_image disk)
serve=(serve --raw --unix "$(temp_socket)")

# ---- refused at the start ----

form='it has to be rbd:POOL/IMAGE, rbd:POOL/NAMESPACE/IMAGE or rbd:POOL/IMAGE@SNAPSHOT'
for name in '' pool /image pool/ pool/image@ pool//image pool/a/b/c; do
    expect_failure 1 "image 'rbd:$name': $form" "${serve[@]}" "rbd:$name"
done
expect_failure 1 "image '$disk&lock=both': lock=both: it is exclusive or shared" "${serve[@]}" "$disk&lock=both"
expect_failure 1 "image 'rbd:rbd/disk?conf=/nosuch': Ceph's configuration '/nosuch' can't be read: No such file or directory" \
    "${serve[@]}" 'rbd:rbd/disk?conf=/nosuch'
expect_failure 1 "image 'rbd:other/disk?conf=$ceph_conf': there is no pool 'other' in the cluster" \
    "${serve[@]}" "rbd:other/disk?conf=$ceph_conf"
ends_with() { # ends_with MESSAGE ARGUMENT...: behind what librbd itself says
    local message=$1

    shift
    run_nbdcrypt "$@"
    expect_equal "exit status of '$*'" 1 "$status"
    expect_message "$err" "nbdcrypt: $message"
}
ends_with "image '$(ceph_image nosuch)': there is no image 'nosuch' in the pool 'rbd'" \
    "${serve[@]}" "$(ceph_image nosuch)"
ends_with "image '$(ceph_image disk@nosuch)': there is no image 'disk' with a snapshot 'nosuch' in the pool 'rbd'" \
    "${serve[@]}" "$(ceph_image disk@nosuch)"
RBD_FORCE_ALLOW_V1=1 ceph rbd create old --size 4M --image-format 1 2>"$log_dir/old"
ends_with "image '$(ceph_image old)': it has the old format 1, or no id (Invalid argument); \`rbd migration\` converts it" \
    "${serve[@]}" "$(ceph_image old)"
ceph rbd create plain --size 4M --image-feature layering
ends_with "image '$(ceph_image plain)': it has no exclusive lock, so that nothing would keep others from writing it; \`rbd feature enable rbd/plain exclusive-lock\` gives it one, and ?lock=shared does without" \
    "${serve[@]}" "$(ceph_image plain)"

# ---- keys ----

ceph ceph-authtool "$test_dir/wrong" --create-keyring --gen-key -n client.admin >"$log_dir/keys"
ceph_command '{"prefix": "auth get-or-create", "entity": "client.disks", "caps": ["mon", "profile rbd", "osd",
    "profile rbd pool=rbd"], "format": "plain"}' >"$test_dir/disks"
ceph_command '{"prefix": "auth get-or-create", "entity": "client.reader", "caps": ["mon", "profile rbd", "osd",
    "profile rbd-read-only pool=rbd"], "format": "plain"}' >"$test_dir/reader"
run_nbdcrypt "${serve[@]}" "$disk&keyring=$test_dir/wrong"
expect_equal "status with a wrong key" 1 "$status"
expect_match "$err" "the cluster refuses the user client.admin: .*; is its key in the keyring"
run_nbdcrypt "${serve[@]}" "$disk&id=nobody"
expect_equal "status without a key" 1 "$status"
expect_match "$err" "client.nobody"
run_nbdcrypt "${serve[@]}" "$disk&id=reader&keyring=$test_dir/reader"
expect_equal "status of one who may only read" 1 "$status"
expect_match "$err" '--read-only serves it without'
start_nbdcrypt --raw --read-only "$disk&id=reader&keyring=$test_dir/reader"
stop_nbdcrypt

# ---- a silent OSD: requests wait; with a timeout they fail; SIGTERM ends it all the same ----

start_nbdcrypt --raw --threads 2 "$disk&id=disks&keyring=$test_dir/disks&timeout=1"
stop_process "$ceph_osd_pid"
python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    equal("a write to a silent OSD", client.error_of(CMD_WRITE, 0, 4096, payload=b"x" * 4096), EIO)
    equal("a read", client.error_of(CMD_READ, 0, 4096), EIO)
EOF
expect_match "$server_log" "writing at byte 0 failed: Connection timed out; the cluster did not answer in time"
kill -CONT "$ceph_osd_pid"
python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    wait_for(lambda: client.error_of(CMD_WRITE, 0, 4096, payload=b"y" * 4096) == 0, "the OSD is back")
    client.flush()
    equal("what was written", client.read(0, 4096), b"y" * 4096)
EOF
expect_match "$server_log" 'it answers again'
stop_nbdcrypt

# A cache answers writes before they are stored, and tells the next FLUSH alone that one has failed: from then on they all
# do, of all connections, though the OSD is back.
start_nbdcrypt --raw --threads 2 --report-directory "$test_dir/reports" "$disk&id=disks&keyring=$test_dir/disks&timeout=1&cache"
python - "$uri" "$ceph_osd_pid" <<'EOF'
import os
import signal
import sys
from nbd_client import *

osd = int(sys.argv[2])
a, b, c = clients = [Client(sys.argv[1]) for _ in range(3)]
a.write(0, b"a" * 4096)
b.flush()
stop_process(osd)
a.write(0, b"lost" * 1024)
b.write(65536, b"lost" * 1024)
equal("FLUSH while the OSD is silent", c.error_of(CMD_FLUSH), EIO)
os.kill(osd, signal.SIGCONT)
for client in clients * 2:
    equal("FLUSH", client.error_of(CMD_FLUSH), EIO)
    equal("WRITE with FUA", client.error_of(CMD_WRITE, 131072, 4096, F_FUA, b"f" * 4096), EIO)
EOF
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
expect_equal "status of a server that could not flush" 1 "$status"
expect_equal "how often the log tells" 1 "$(grep -c "can't be made durable: Input/output error; what was written" "$server_log")"

start_nbdcrypt --raw --threads 2 --shutdown-timeout 2 "$disk"
stop_process "$ceph_osd_pid"
"$PYTHON" - "$uri" "$test_dir/sent" <<'EOF' &
import sys
from nbd_client import *

client = Client(sys.argv[1])
client.send(CMD_WRITE, 0, 0, 0, b"z" * 4096)
open(sys.argv[2], "w").close()
try:
    client.receive()
except (EndOfStream, ConnectionResetError):
    pass
EOF
writer=$!
remember_pid "$writer"
wait_until 30 test -e "$test_dir/sent"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
expect_equal "status of a server that could not answer" 1 "$status"
expect_match "$server_log" 'ended without answers to what is in flight'
wait "$writer"
ends_with "image '$disk&connect-timeout=1': the cluster did not answer within 1 seconds (connect-timeout); are its OSDs up?" \
    "${serve[@]}" "$disk&connect-timeout=1"
kill -CONT "$ceph_osd_pid"

# More than librados lets anybody have in flight: who uses another disk does not wait for it.
start_nbdcrypt --threads 1 --export "disk=$disk,raw" --export memory=memory:1M,raw
python - "$uri" "$ceph_osd_pid" <<'EOF'
import os
import signal
import sys
from nbd_client import *

at = lambda name: f"nbd+unix:///{name}?" + sys.argv[1].partition("?")[2]
osd = int(sys.argv[2])
clients = [Client(at("disk")) for _ in range(10)]
clients[0].write(0, b"m" * (1 << 20))
stop_process(osd)
for client in clients:
    for block in range(128):
        client.send(CMD_READ, block * 4096, 4096)
with Client(at("memory")) as client:
    equal("another disk", client.read(0, 512), bytes(512))
os.kill(osd, signal.SIGCONT)
for client in clients:
    for reply in client.receive_all().values():
        equal("a read", reply.check().data, b"m" * 4096)
EOF
stop_nbdcrypt

# ---- resizes ----

start_nbdcrypt --raw --threads 2 "$disk"
expect_match <(nbdinfo "$uri") 'export-size: 33554432'
ceph rbd resize disk --size 64M --no-progress
logged() {
    grep -qF "$1" "$server_log"
}
wait_until 30 logged 'it has 67108864 bytes now, and is served with the 33554432 it had at the start'
ceph rbd resize disk --size 16M --allow-shrink --no-progress
wait_until 30 logged 'it was cut to 16777216 bytes; requests behind that fail'
python - "$uri" <<'EOF'
import sys
from nbd_client import *

END = 16 << 20
with Client(sys.argv[1]) as client:
    client.write(END - 4096, b"a" * 4096)
    equal("a write across the end", client.error_of(CMD_WRITE, END - 4096, 8192, payload=b"b" * 8192), ENOSPC)
    equal("a write behind it", client.error_of(CMD_WRITE, END, 4096, payload=b"b" * 4096), ENOSPC)
    equal("zeroes across it", client.error_of(CMD_WRITE_ZEROES, END - 4096, 8192), ENOSPC)
    equal("a read across it", client.error_of(CMD_READ, END - 4096, 8192), EIO)
    equal("what was there", client.read(END - 4096, 4096), b"a" * 4096)

    # Small zeroes are zeroes, although librbd ignores a TRIM of that size.
    client.write(0, b"c" * 8192)
    client.write_zeroes(1024, 1024)
    client.write_zeroes(4096, 512, F_NO_HOLE)
    equal("small zeroes", client.read(0, 8192),
          b"c" * 1024 + bytes(1024) + b"c" * 2048 + bytes(512) + b"c" * 3584)
EOF

# ---- another client breaks the lock: that disk fails, and the others of the same cluster go on ----

ceph rbd rm disk --no-progress >"$log_dir/rm" 2>&1 && fail "an image that is being served was removed"
stop_nbdcrypt
ceph rbd create other --size 16M
start_nbdcrypt --threads 2 --export "disk=$disk,raw" --export "other=$(ceph_image other),raw"
read -r locker kind number _ < <(ceph rbd lock ls disk | tail -n 1)
ceph rbd lock rm disk "$kind $number" "$locker"
ceph rbd bench --io-type write --io-size 16M --io-threads 1 --io-total 16M disk >"$log_dir/thief" 2>&1
ceph rbd export --no-progress disk "$test_dir/before" 2>>"$log_dir/thief"
python - "$uri" <<'EOF'
import sys
from nbd_client import *

at = lambda name: f"nbd+unix:///{name}?" + sys.argv[1].partition("?")[2]
with Client(at("disk")) as client:
    equal("a write without the lock", client.error_of(CMD_WRITE, 0, 4096, payload=b"d" * 4096), EIO)
    equal("a flush", client.error_of(CMD_FLUSH), EIO)
with Client(at("other")) as client:
    client.write(0, b"o" * 4096)
    client.flush()
    equal("another disk", client.read(0, 4096), b"o" * 4096)
EOF
expect_match "$server_log" 'the cluster has blocked this server'
kill -TERM "$pid"
wait "$pid" || true
ceph rbd export --no-progress disk "$test_dir/after" 2>>"$log_dir/thief"
cmp "$test_dir/before" "$test_dir/after"
start_nbdcrypt --raw "$disk"
stop_nbdcrypt

# ---- no monitor ----

ceph_kill "$ceph_mon_pid"
SECONDS=0
ends_with "image '$disk&connect-timeout=2': no monitor of the cluster answered within 2 seconds; are the addresses in mon_host right, and do the monitors run?" \
    "${serve[@]}" "$disk&connect-timeout=2"
[ "$SECONDS" -lt 10 ] || fail "it took $SECONDS s to find that no monitor is there"
