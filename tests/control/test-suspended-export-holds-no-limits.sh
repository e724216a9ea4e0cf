#!/bin/bash
# What clients of a suspended export want waits for no limit: the others of its group have all of it, and nobody is told that these
# requests hang.  They go on when it is resumed, under the limits.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

control=$(temp_socket) rate=200
format_luks2 "$test_dir/luks" 4M

ctl() {
    expect_success ctl --socket "$control" "$@"
}

# ask NAME: clients of that export ask for all that they can get, until the end.
ask() {
    "$bench" --json --time 600 --connections 2 --depth 2 "nbd+unix:///$1?socket=$test_dir/nbd" >"$test_dir/asking-$1" 2>&1 &
    remember_pid "$!"
}

# has_part LEAST MOST: `goes` has such a part of what both get, which is the rate.
has_part() {
    local sum of_goes

    read -r _ sum of_goes < <("$PYTHON" "$source_dir/tests/server/exports-share-limits-rates.py" "$control" 0.7 requests goes stays)
    awk -v sum="$sum" -v rate="$rate" -v part="$of_goes" -v least="$1" -v most="$2" \
        'BEGIN { exit !(sum > rate * 0.9 && part >= least && part <= most) }'
}

cat >"$test_dir/nbdcrypt.conf" <<EOF_CONFIG
[server]
unix = $test_dir/nbd
threads = 2
[control]
socket = $control
[defaults]
limit-group = tenant
[limits tenant]
limit-iops = $rate
[export goes]
image = $test_dir/luks
key-file = $passphrase
weight = 1000
[export stays]
image = memory:16M
raw = yes
weight = 1
EOF_CONFIG
start_nbdcrypt --config "$test_dir/nbdcrypt.conf" --unix "$test_dir/nbd"
ask goes
ask stays
wait_until 30 has_part 0.9 1
ctl suspend goes
wait_until 30 has_part 0 0
waits() {
    "$NBDCRYPT" ctl --socket "$control" requests | grep -c '^.* goes '
}
expect_equal "requests of the suspended export" 0 "$(waits || true)"
ctl resume goes
wait_until 30 has_part 0.9 1
stop_nbdcrypt
