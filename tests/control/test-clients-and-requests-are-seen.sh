#!/bin/bash
# Who is connected, what waits for storage and for how long, and what exports do: as it is, also while storage hangs.
. "$(dirname "$0")/../support/functions.sh"

requires qemu-io --version
requires nbdinfo --version

image=$(temp_file)
truncate --size=4M "$image"
start_nbdcrypt --raw "$image"
storage=$pid storage_socket=$socket
control=$(temp_socket)
start_nbdcrypt --raw --control "$control" --export "far=nbd+unix:///?socket=$storage_socket" --export "idle=memory:1M"

# json VERB: what it prints for programs.
json() {
    timeout 20 "$NBDCRYPT" ctl --socket "$control" --json "$@"
}

# holds VERB EXPRESSION, of `it`
holds() {
    json "$1" | "$PYTHON" -c "import json, sys; it = json.load(sys.stdin); sys.exit(not ($2))"
}

holds clients "it == []" || fail "there are clients before the first one"
holds requests "it == []" || fail "there are requests before the first one"
mkfifo "$test_dir/commands"
qemu-io --format raw "nbd+unix:///far?socket=$socket" <"$test_dir/commands" >"$test_dir/answers" 2>&1 &
client=$!
remember_pid "$client"
exec 7>"$test_dir/commands"
printf 'write 0 1M\n' >&7
wait_until 30 grep -q "1048576/1048576" "$test_dir/answers"
printf 'read 4096 64k\n' >&7 # one line at a time: it sleeps on what it has in its buffer
wait_until 30 grep -q "65536/65536" "$test_dir/answers"
wait_until 30 holds clients "[(c['export'], c['state'], c['written_bytes'], c['errors']) for c in it] == [('far', 'transmission', 1048576, 0)] \
    and it[0]['read_bytes'] >= 65536 and it[0]['peer'] == 'client pid $client uid $(id -u)' and it[0]['in_flight'] == 0"
expect_success ctl --socket "$control" clients
expect_match "$out" '^ *[0-9]+ +far +transmission .* client pid [0-9]+ uid [0-9]+$'

# Storage hangs: it is seen who waits for it, at once.
is_stopped() {
    ! grep -h '^State:' "/proc/$storage/task/"*/status | grep -qv 'T (stopped)'
}
stop_process "$storage"
wait_until 30 is_stopped
printf 'read 8192 4096\n' >&7
wait_until 30 holds requests "[(r['export'], r['operation'], r['phase'], r['offset_bytes'], r['length_bytes']) for r in it] == \
    [('far', 'read', 'backend', 8192, 4096)] and it[0]['age_us'] > 200000"
holds clients "it[0]['in_flight'] == 1 and it[0]['id'] > 0" || fail "the client does not wait"
holds status "it['state'] == 'serving' and it['clients'] == 1" || fail "the status is another one"
expect_success ctl --socket "$control" requests
expect_match "$out" '^ *[0-9]+ [mu]?s +far +[0-9]+ +read +backend +8192 +4096$'
expect_success ctl --socket "$control" top --batch --count 1 --delay 1
expect_match "$out" '^nbdcrypt .* serving +threads [0-9]+ +exports 2 +clients 1$'
expect_match "$out" '^EXPORT +CL +READ/s +WRITE/s +IOPS +p50 +p99 +FLIGHT +OLDEST +HELD$'
expect_match "$out" '^far +1 .* 1 +[0-9.]+[mu]?s +0%$'
expect_match "$out" '^idle +0 +0 +0 +0 +- +- +0 +- +0%$'
[ "$(awk 'length > 80' "$out")" = '' ] || fail "a line has more than 80 columns"
kill -CONT "$storage"
wait_until 30 grep -q "4096/4096" "$test_dir/answers"
wait_until 30 holds requests "it == []"

# What it does is counted.
reads=()
for i in {1..400}; do reads+=(-c "read $((i * 512)) 512"); done
qemu-io --read-only --format raw "${reads[@]}" "nbd+unix:///far?socket=$socket" >"$log_dir/qemu-io"
json top --count 2 --delay 1 >"$test_dir/top"
"$PYTHON" "$source_dir/tests/control/clients-and-requests-are-seen-figures.py" "$test_dir/top" "$control"

# One is told to go; another one stays.
id=$(json clients | sed -n 's/^ *"id": *\([0-9]*\).*/\1/p')
qemu-io --read-only --format raw -c 'read 0 512' -c 'sleep 60000' "nbd+unix:///idle?socket=$socket" >"$log_dir/other" 2>&1 7>&- &
other=$!
remember_pid "$other"
wait_until 30 holds clients "[c['export'] for c in sorted(it, key=lambda c: c['id'])] == ['far', 'idle']"
expect_success ctl --socket "$control" disconnect "$id"
wait_until 30 holds clients "[c['export'] for c in it] == ['idle']"
expect_failure 1 "there is no client $id (any more)" ctl --socket "$control" disconnect "$id"
expect_failure 2 "'x1' is no ID: nbdcrypt ctl clients shows them" ctl --socket "$control" disconnect x1
exec 7>&-
wait "$client" || true
kill -KILL "$other"
wait_until 30 holds clients "it == []"

# Many at a time come in one list, and in turns of others.
"$PYTHON" "$source_dir/tests/control/clients-and-requests-are-seen-many.py" "$control" "$socket"
stop_nbdcrypt
pid=$storage
stop_nbdcrypt
