#!/bin/bash
# Exports of one group have its limits together: their sum is that of the group, each has its part by its weight, and what an
# idle one leaves the other has.  A change holds at once, by nbdcrypt ctl and by a reload; a group that is used can't go.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

control=$(temp_socket)

ctl() {
    expect_success ctl --socket "$control" "$@"
}

# ask NAME BENCH-OPTION...: clients of that export ask for all that they can get, until they are told to stop; sets $asking.
ask() {
    "$bench" --json --time 600 "${@:2}" "nbd+unix:///$1?socket=$test_dir/nbd" >"$test_dir/asking-$1" 2>&1 &
    asking=$!
    remember_pid "$asking"
}

# expect_share FIGURE RATE PART: a and b get that, and a has this part.  They never get more; less, or other parts, only for as
# long as others want the CPUs.
expect_share() {
    local figure=$1 rate=$2 part=$3 attempt least sum of_a

    for attempt in {1..20}; do
        read -r least sum of_a < <("$PYTHON" "$source_dir/tests/server/exports-share-limits-rates.py" "$control" 1.5 "$figure" a b)
        awk -v least="$least" -v rate="$rate" 'BEGIN { exit !(least < rate * 1.02) }' ||
            fail "$figure: together at most $rate are allowed, they got $least"
        awk -v sum="$sum" -v rate="$rate" -v of_a="$of_a" -v part="$part" \
            'BEGIN { exit !(sum > rate * 0.98 && of_a > part - 0.02 && of_a < part + 0.02) }' && return
    done
    fail "$figure, $attempt times: expected $rate, of which a has $part; at last they got $sum, of which a had $of_a"
}

cat >"$test_dir/shared.conf" <<EOF_CONFIG
[server]
unix = $test_dir/nbd
threads = 2
[control]
socket = $control
[defaults]
raw = yes
limit-group = gold
[limits gold]
limit-iops = 1200
[limits silver]
limit-bandwidth = 1G
[export a]
image = memory:16M
weight = 300
[export b]
image = memory:16M
EOF_CONFIG
start_nbdcrypt --sandbox-programs /bin/cat --config "$test_dir/shared.conf" --unix "$test_dir/nbd"
ask a --connections 4 --depth 4
idle=$asking
ask b --connections 8 --depth 4
expect_share requests 1200 0.75

# ---- changes ----
ctl limits b weight=100
ctl limits a weight=100
expect_share requests 1200 0.5
ctl limits --group gold limit-iops=off limit-read-bandwidth=4M
expect_share read_bytes $((4 << 20)) 0.5
sed -i 's/^limit-iops = 1200/limit-iops = 800/' "$test_dir/shared.conf"
ctl reload
expect_match "$out" '^~ \[limits gold\]  limit-iops 1200 -> 800$'
expect_share requests 800 0.5
kill "$idle"
expect_share requests 800 0
ctl limits b limit-group=silver limit-iops=1500
expect_share requests 1500 0

# ---- what holds is told ----
ctl groups
expect_match "$out" '^gold +iops=800 +100 +a$'
expect_match "$out" '^silver +bandwidth=1G +100 +b$'
ctl limits --group gold
expect_equal "limits of gold" "limit-iops=800" "$(cat "$out")"
ctl limits b
expect_equal "limits of b" "limit-iops=1500 limit-group=silver" "$(paste -sd ' ' "$out")"
ctl show b
expect_match "$out" '^limits +iops=1500 group=silver$'
expect_failure 1 "there is no group of limits 'golf'" ctl --socket "$control" limits --group golf limit-iops=1
expect_failure 1 "client-limit-iops: there is no such limit" ctl --socket "$control" limits --group gold client-limit-iops=1
expect_failure 1 "limit-group: there is no group 'golf' (gold?): write [limits golf], or give --limits golf,limit-iops=N" \
    ctl --socket "$control" limits b limit-group=golf
expect_failure 1 "limit-group: there is no group 'golf' (gold?): write [limits golf], or give --limits golf,limit-iops=N" \
    ctl --socket "$control" add c memory:1M limit-group=golf
expect_failure 2 "--group is for ctl limits" ctl --socket "$control" show --group a
expect_match "$server_log" "control: SetGroupLimits name='gold' limits=limit-iops=off,limit-read-bandwidth=4M\$"

ctl status
expect_match "$out" '^groups +2$'
ctl top --batch --count 1 --delay 1
expect_match "$out" '^b +8 .* [1-9][0-9]+%$'
ctl metrics
expect_message "$out" 'nbdcrypt_limit_group_per_second{group="gold",limit="iops"} 800'
expect_message "$out" "nbdcrypt_limit_group_per_second{group=\"silver\",limit=\"bandwidth\"} $((1 << 30))"
expect_message "$out" 'nbdcrypt_limit_group_weight{export="a",group="gold"} 100'
expect_message "$out" 'nbdcrypt_limit_group_weight{export="b",group="silver"} 100'
ctl report
expect_match "$out" 'name = silver  weight = 100  limit-bandwidth = 1073741824'
expect_match "$out" '^ +limit-iops = 1500$'
expect_match "$out" '^ +limit-group = silver$'

# ---- one that is used does not go ----
sed -i '/^\[limits silver/,/^limit-bandwidth/d' "$test_dir/shared.conf"
used() {
    echo "[limits silver] can't go: by nbdcrypt ctl export '$1' is in that group: take it out first," \
        "with nbdcrypt ctl limits $1 limit-group=off"
}
expect_failure 1 "$(used b)" ctl --socket "$control" reload
run_nbdcrypt ctl --socket "$control" reload --dry-run
expect_equal "status of the dry run" 1 "$status"
expect_message "$err" "nbdcrypt: the reload would be refused: $(used b)"
ctl limits b limit-group=gold
ctl add c memory:1M limit-group=silver
expect_failure 1 "$(used c)" ctl --socket "$control" reload

# ---- nor while it takes long to open an export ----
format_luks2 "$test_dir/luks" 1M
mkfifo "$test_dir/gate"
# begin WHAT ARGUMENT...: that call of ctl, which goes on when a key is written to the gate; `beginning` is its process.
begin() {
    "$NBDCRYPT" ctl --timeout 60 --socket "$control" "${@:2}" >"$test_dir/slow" 2>&1 &
    beginning=$!
    remember_pid "$beginning"
    wait_until 30 grep -q "$1" "$server_log"
}
# expect_refused SENTENCE: that call has failed.
expect_refused() {
    local status=0

    timeout 30 cat "$passphrase" >"$test_dir/gate"
    wait "$beginning" || status=$?
    expect_equal "status" 1 "$status"
    expect_message "$test_dir/slow" "nbdcrypt: $1"
}
ctl limits c limit-group=off
cp "$test_dir/shared.conf" "$test_dir/without"
printf '[export slow]\nimage = %s\nraw = no\nkey-command = /bin/cat %s\n' "$test_dir/luks" "$test_dir/gate" >>"$test_dir/shared.conf"
begin 'configuration: + slow ' reload
ctl limits c limit-group=silver
expect_refused "$(used c)"
ctl limits c limit-group=off
cp "$test_dir/without" "$test_dir/shared.conf"
begin "control: AddExport name='late'" add late "$test_dir/luks" raw=no limit-group=silver "key-command=/bin/cat $test_dir/gate"
ctl reload
expect_match "$out" '^- \[limits silver\]  removed$'
expect_refused "limit-group: there is no group 'silver': write [limits silver], or give --limits silver,limit-iops=N"
expect_failure 1 "limit-group: there is no group 'silver': write [limits silver], or give --limits silver,limit-iops=N" \
    ctl --socket "$control" limits b limit-group=silver
stop_nbdcrypt
