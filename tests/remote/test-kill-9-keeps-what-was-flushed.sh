#!/bin/bash
# A remote server that forgets what was not flushed is killed and restarted again and again under load: the client of
# nbdcrypt sees no connection lost, and everything that a FLUSH had confirmed is there.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires cryptsetup --version

disk=$(temp_file)

progress=$test_dir/progress

# What the client has counted: batches that a FLUSH confirmed, and such that it refused.
has_progressed() {
    read -r confirmed refused <"$progress" && [ "$confirmed" -ge "$1" ]
} 2>/dev/null

# wait_for_progress: some batches were confirmed; then any moment will do.
wait_for_progress() {
    wait_until 60 has_progressed "$((confirmed + 5))"
    sleep "0.0$((RANDOM % 10))"
}

# load MULTI-CONN...: several restarts while a client writes and flushes.
load() {
    local client

    new_remote
    start_fake "$disk" "$@"
    start_nbdcrypt "${server_options[@]}" "$remote"
    rm -f "$test_dir/done"
    : >"$progress"
    confirmed=0 refused=0
    "$PYTHON" - "$uri" "$test_dir/done" "$progress" <<'PYTHON_END' &
import os
import random
import sys
from nbd_client import *

uri, done, progress = sys.argv[1:]
BLOCK, BLOCKS = 4096, 400
chance = random.Random(7)
writers, flusher = [Client(uri) for _ in range(3)], Client(uri)
maybe = [{0} for _ in range(BLOCKS)]     # the versions that each block may hold
version, failed, confirmed = 0, 0, 0


def content(block, number):
    return struct.pack(">II", block, number) * (BLOCK // 8)


def check(blocks):
    for block in blocks:
        data = flusher.read(block * BLOCK, BLOCK)
        found = struct.unpack(">II", data[:8])[1]
        if len(maybe[block]) > 1:
            continue    # never confirmed: it may even be torn
        if found not in maybe[block] or (found and data != content(block, found)):
            raise AssertionError(f"block {block} holds version {found}, not one of {sorted(maybe[block])}")


for block in range(BLOCKS):
    flusher.write(block * BLOCK, bytes(BLOCK), F_FUA)
while not os.path.exists(done):
    last = {}
    version += 1
    fua = F_FUA if chance.random() < 0.2 else 0
    for writer in writers:
        for block in chance.sample(range(writers.index(writer), BLOCKS, 3), 8):
            maybe[block].add(version)
            last[block] = version
            writer.send(CMD_WRITE, block * BLOCK, 0, fua, content(block, version))
    for writer in writers:
        for reply in writer.receive_all().values():
            reply.check()
    error = 0 if fua else flusher.error_of(CMD_FLUSH, 0, 0)
    failed += error != 0
    if not error:
        confirmed += 1
        open(progress, "w").write(f"{confirmed} {failed}\n")
        for block in last:
            maybe[block] = {version}
        check(last)     # now: soon it will have been overwritten
    # What was not confirmed before stays uncertain until it is written again.
check(range(BLOCKS))
print(f"{confirmed} batches confirmed, {failed} refused")
if failed < 1 or confirmed < 20:
    raise AssertionError("that proves little")
PYTHON_END
    client=$!
    remember_pid "$client"
    # At any moment, until one of these moments was between a write and its FLUSH.
    for ((restarts = 0; restarts < 10 || (restarts < 200 && refused < 1); restarts++)); do
        wait_for_progress
        kill_remote
        start_fake "$disk" "$@"
    done
    wait_for_progress
    : >"$test_dir/done"
    wait "$client" || fail "the client is not content"
    stop_nbdcrypt
    expect_match "$server_log" 'connected again$'
    kill_remote
}

truncate --size=2M "$disk"
server_options=(--raw --threads 3)
load
load multi-conn
format_luks2 "$disk" 2M --sector-size 4096
server_options=(--key-file "$passphrase" --threads 3)
load multi-conn
