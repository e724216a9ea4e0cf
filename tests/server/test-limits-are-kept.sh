#!/bin/bash
# Clients get what the limits of their export allow: operations and bytes a second, one connection or several, and after a
# change at once.  A request that waits for hours holds up neither other clients nor the end.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

control=$(temp_socket) image=$(temp_file)
truncate --size=64M "$image"

ctl() {
    expect_success ctl --socket "$control" "$@"
}

# expect_rate FIGURE RATE BENCH-OPTION...: within 5 %.  Never more; less only for as long as others want the CPUs.
expect_rate() {
    local name=$1 rate=$2 attempt

    shift 2
    for attempt in 1 2 3 4 5 6; do
        expect_bench --json "$@" "$uri"
        awk -v got="$(figure "$name")" -v rate="$rate" 'BEGIN { exit !(got < rate * 1.05) }' ||
            fail "$name with $*: at most $rate are allowed, it got $(figure "$name")"
        awk -v got="$(figure "$name")" -v rate="$rate" 'BEGIN { exit !(got > rate * 0.95) }' && return
    done
    fail "$name with $*, $attempt times: expected about $rate, got $(figure "$name")"
}

start_nbdcrypt --control "$control" --raw --limit-iops 400 "$image"
expect_rate total/iops 400 --connections 1 --depth 1 --time 3 --warm-up 0.3
ctl limits '' limit-iops=3000
expect_rate total/iops 3000 --connections 4 --depth 8 --write 50 --time 2 --warm-up 0.3
ctl limits '' limit-iops=off limit-read-bandwidth=20M
expect_rate read/bytes_per_second $((20 << 20)) --connections 4 --depth 8 --block 64K --time 2 --warm-up 0.3

# All connections of one user are one client.
ctl limits '' limit-read-bandwidth=off client-limit-iops=1000
expect_rate total/iops 1000 --connections 4 --depth 4 --time 2 --warm-up 0.3
ctl limits '' client-limit-iops=off limit-read-bandwidth=20M

# ---- what holds is told ----
ctl limits ''
expect_message "$out" "limit-read-bandwidth=20M"
ctl show ''
expect_match "$out" '^limits +read-bandwidth=20M$'
ctl exports
expect_match "$out" ' read-bandwidth=20M '
expect_failure 1 "limit-iosp: there is no such limit: did you mean limit-iops?" ctl --socket "$control" limits '' limit-iosp=3
expect_failure 1 "burst-iops goes beyond limit-iops, which is not given" ctl --socket "$control" limits '' burst-iops=30/1
expect_match "$server_log" "control: SetLimits name='' limits=limit-iops=3000\$"
expect_match "$server_log" "control: SetLimits name='' limits=limit-iosp=3 failed: BadOption: there is no such limit"
expect_failure 1 "there is no export 'other'" ctl --socket "$control" limits other limit-iops=3
expect_failure 2 "'limit-iops' is not KEY=VALUE: a word behind the name is an option with its value, such as limit-iops=500" ctl --socket "$control" limits '' limit-iops

# ---- a write that waits for hours ----
ctl limits '' limit-read-bandwidth=off limit-write-bandwidth=1
"$PYTHON" - "$uri" <<'EOF_PYTHON' &
import sys, nbd_client
client = nbd_client.Client(sys.argv[1])
client.send(nbd_client.CMD_WRITE, 0, 32768, payload=bytes(32768))
client.send(nbd_client.CMD_WRITE, 0, 512, payload=bytes(512))
assert client.receive().error == 0
client.expect_end() # not begun, and so not answered
EOF_PYTHON
writer=$!
remember_pid $writer
throttled() {
    "$NBDCRYPT" ctl --socket "$control" requests | grep -q 'write  *throttled'
}
wait_until 20 throttled
expect_bench --count 100 "$uri"
stop_nbdcrypt
wait "$writer" || fail "the end of the server waited for the write"

# ---- configuration files ----
cat >"$test_dir/limits.conf" <<EOF_CONFIG
[server]
unix = $test_dir/nbd
[control]
socket = $control
[defaults]
raw = yes
limit-iops = 400
burst-iops = 4000/3
client-limit-iops = 100
[export one]
image = $image
[export two]
image = memory:1M
limit-iops = off
client-limit-iops = off
weight = 300
EOF_CONFIG
start_nbdcrypt --config "$test_dir/limits.conf" --unix "$test_dir/nbd"
ctl limits one
expect_equal "limits of one" "limit-iops=400 burst-iops=4000/3 client-limit-iops=100" "$(paste -sd ' ' "$out")"
ctl limits two
expect_equal "limits of two" "weight=300" "$(cat "$out")"
sed -i 's/^limit-iops = 400/limit-iops = 800/' "$test_dir/limits.conf"
ctl reload
expect_match "$out" '^~ one +limit-iops 400 -> 800'
ctl limits one
expect_equal "limits of one" "limit-iops=800 burst-iops=4000/3 client-limit-iops=100" "$(paste -sd ' ' "$out")"
stop_nbdcrypt
