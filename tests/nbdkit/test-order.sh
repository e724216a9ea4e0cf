#!/bin/bash
# A plugin of nbdkit is called in the order that nbdkit-plugin(3) documents, one call at a time unless it is parallel,
# with FUA and zeroes made of what it has; and one that hangs holds up neither others nor the end.
. "$(dirname "$0")/../support/functions.sh"

# What plugins of others, and the interpreters in them, do not give back is not ours.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"

plugin=${top_builddir:-.}/tests/support/nbdkit-order-plugin.so
[ -e "$plugin" ] || fail "$plugin was not built; make check does that"
plugin=$(realpath "$plugin")
calls=$test_dir/calls

# start_plugin [PARAMETER&...]: serves it with one thread, with an empty log.
start_plugin() {
    rm -f "$calls"
    start_nbdcrypt --raw --threads 1 "nbdkit:$plugin?log=$calls${1:+&$1}"
}

# calls_of REGEX: the calls that match, without threads.
calls_of() {
    cut -d ' ' -f 2- "$calls" | grep -E -- "$1" || true
}

# expect_calls WHAT REGEX EXPECTED
expect_calls() {
    expect_equal "$1" "$3" "$(calls_of "$2" | paste -s -d ';')"
}

request='^(pread|pwrite|flush|trim|zero|extents)'

# ---- its life ----

start_plugin 'size=1048576'
python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    equal("size", client.size, 1 << 20)
    equal("READ", client.read(512, 1024), bytes(1024))
    equal("extents", client.extents(65536 - 512, 65536 + 1024),
          [(512, 0), (65536, STATE_HOLE | STATE_ZERO), (512, 0)])
    client.disconnect()
PYTHON_END
stop_nbdcrypt
expect_calls "its life" . \
    "$(calls_of '^config' | paste -s -d ';');thread_model;get_ready;after_fork;preconnect 0;open 0;$(
        calls_of '^ask' | paste -s -d ';');pread 1024 512 0;extents 66560 65024 0;flush 0;close its handle;cleanup;$(
        calls_of '^unload')"
expect_calls "its parameters" '^config' 'config log;config size;config_complete'
for question in get_size can_write can_flush can_trim can_zero can_fast_zero can_fua can_extents; do
    expect_calls "how often it is asked $question" "^ask $question\$" "ask $question"
done
expect_equal "threads of its life" "$pid" "$(grep -vE "^[0-9]+ (${request#^})" "$calls" | cut -d ' ' -f 1 | sort -u)"
expect_equal "requests on the thread of its life" '' "$(grep -E "^$pid (${request#^(}" "$calls" | grep -v flush || true)"

# ---- FUA and zeroes ----

# changes PARAMETERS EXPECTED: the calls that these requests lead to.
changes() {
    start_plugin "$1"
    python "$source_dir/tests/nbdkit/order-changes.py" "$uri" </dev/null
    stop_nbdcrypt
    expect_calls "calls with $1" "$request" "$2;flush 0"
}

changes fua=0 'pwrite 512 0 0;trim 4096 4096 0;zero 131072 8192 0'
changes fua=1 'pwrite 512 0 0;flush 0;trim 4096 4096 0;flush 0;zero 131072 8192 0;flush 0'
# Even where the plugin would do it, it is a flush: see group-sync.h.
changes fua=2 'pwrite 512 0 0;flush 0;trim 4096 4096 0;flush 0;zero 131072 8192 0;flush 0'
changes 'fua=1&can_trim=0' 'pwrite 512 0 0;flush 0;zero 131072 8192 0;flush 0'
changes 'fua=2&zero=0' \
    'pwrite 512 0 0;flush 0;trim 4096 4096 0;flush 0;pwrite 65536 8192 0;pwrite 65536 73728 0;flush 0'
changes 'fua=2&zero=3' \
    'pwrite 512 0 0;flush 0;trim 4096 4096 0;flush 0;zero 131072 8192 0;pwrite 65536 8192 0;pwrite 65536 73728 0;flush 0'

# ---- one at a time, or not ----

# reads_at_once COUNT: on two connections.
reads_at_once() {
    python - "$uri" "$1" <<'PYTHON_END'
import sys
from nbd_client import *

clients = [Client(sys.argv[1]) for _ in range(2)]
for i in range(int(sys.argv[2])):
    clients[i % 2].send(CMD_READ, i * 4096, 4096)
for client in clients:
    for reply in client.receive_all().values():
        reply.check()
    client.disconnect()
PYTHON_END
    stop_nbdcrypt
}

for model in 0 1 2; do
    start_plugin "model=$model"
    reads_at_once 16
    expect_calls "calls with thread model $model" '^unload' 'unload, at most 1 calls at a time'
done
start_plugin 'model=3&meet=8'
reads_at_once 8
expect_calls "calls when it is parallel" '^unload' 'unload, at most 8 calls at a time'

# ---- what is wrong ----

expect_failure 1 "image 'nbdkit:$plugin?size=-1': the plugin failed in get_size: Input/output error" \
    serve --raw --unix "$(temp_socket)" "nbdkit:$plugin?size=-1"

start_nbdcrypt --threads 1 --shutdown-timeout 1 --export "hangs=nbdkit:$plugin?log=$calls&hang=true,raw" \
    --export "goes-on=nbdkit:$plugin?size=4096,raw"
python - "$socket" <<'PYTHON_END'
import sys
from nbd_client import *

hanging = Client("nbd+unix:///hangs?socket=" + sys.argv[1])
hanging.send(CMD_READ, 0, 512)
with Client("nbd+unix:///goes-on?socket=" + sys.argv[1]) as client:
    equal("READ", client.read(0, 4096), bytes(4096))
    client.disconnect()
PYTHON_END
wait_until 20 grep -q pread "$calls"
stopped_at=$SECONDS status=0
kill "$pid"
wait "$pid" || status=$?
expect_equal "status when a plugin hangs" 1 "$status"
[ $((SECONDS - stopped_at)) -le 20 ] || fail "the end took $((SECONDS - stopped_at)) s"
expect_match "$server_log" 'ended without answers'
