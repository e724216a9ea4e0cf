#!/bin/bash
# What running the server for others may cost, each as a bar that is held or missed:
#
#     bench/check-operate.sh [CHECK...]      in the build folder; all by default, about 4 minutes
#
#     fairness   a client with one request in flight beside one with 128: its p99 is at most 3 times that alone
#     report     reports while 10,000 requests are in flight: p99 of the clients at most doubles
#     cost       board, metrics each second, page, limits, strict sandbox: within 3 % of CPU time of none of them
#     limits     IOPS are within 2 % of limit-iops, from 1 to 500,000 (as far as this machine gets)
#     memory     an export in use takes at most 64 KiB
#     scrape     metrics of 1,000 exports are there within 200 ms
#
# Exit status: 1 when a bar was missed.  ROUNDS (5) and SECONDS_EACH (2) are of the first three.
# shellcheck disable=SC2317 # checks are called by their names
here=$(cd "$(dirname "$0")" && pwd)
export TEST_TIMEOUT_S=3600
. "$here/../tests/support/functions.sh"
. "$here/../tests/support/bench-functions.sh"

rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-2}
control=$test_dir/control missed=0

ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}
# calculate EXPRESSION [NAME=VALUE...]: of awk.
calculate() {
    local expression=$1 one assignments=()

    shift
    for one in "$@"; do assignments+=(-v "$one"); done
    awk "${assignments[@]}" "BEGIN { print ($expression) }"
}
median() {
    sort -g | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}
# judge CHECK MEASURED AT-MOST
judge() {
    local verdict=held

    if [ "$(calculate 'a > b' "a=$2" "b=$3")" = 1 ]; then verdict=MISSED missed=1; fi
    printf '%-44s %10.4g  at most %-8s %s\n' "$1" "$2" "$3" "$verdict"
}
# p99 OPTION... URI: of reads, in microseconds.
p99() {
    expect_bench --time "$seconds" --json "$@"
    calculate "$(figure read/latency_ns/p99) / 1000"
}

check_fairness() {
    local alone=() beside=() other i

    start_nbdcrypt --threads 1 --raw memory:256M
    for ((i = 0; i < rounds; i++)); do
        alone+=("$(p99 --depth 1 "$uri")")
        timeout 600 "$bench" --depth 128 --time 600 "$uri" >"$log_dir/other" 2>&1 &
        other=$!
        beside+=("$(p99 --depth 1 --warm-up 0.3 "$uri")")
        { kill "$other" && wait "$other"; } || true
    done
    judge "fairness: p99 beside / alone" "$(calculate 'b / a' "a=$(printf '%s\n' "${alone[@]}" | median)" \
        "b=$(printf '%s\n' "${beside[@]}" | median)")" 3
    stop_nbdcrypt
}

check_report() {
    local without=() with=() i reports

    start_nbdcrypt --control "$control" --raw memory:256M
    for ((i = 0; i < rounds; i++)); do
        without+=("$(p99 --connections 80 --depth 128 --warm-up 0.5 "$uri")")
        (while ctl report >"$log_dir/report"; do sleep 1; done) &
        reports=$!
        with+=("$(p99 --connections 80 --depth 128 --warm-up 0.5 "$uri")")
        { kill "$reports" && wait "$reports" 2>"$log_dir/wait"; } || true
    done
    judge "report: p99 of 10,240 in flight, with / without" "$(calculate 'b / a' \
        "a=$(printf '%s\n' "${without[@]}" | median)" "b=$(printf '%s\n' "${with[@]}" | median)")" 2
    stop_nbdcrypt
}

# cost_of JOB-OPTION...: the server's CPU time for a request, in ns.
cost_of() {
    expect_bench --time "$seconds" --warm-up 0.3 --json --server-pid "$pid" "$@" "$uri"
    figure server_cpu/ns_per_request
}

check_cost() {
    local ratios=() off scrape i

    for ((i = 0; i < rounds; i++)); do
        start_nbdcrypt --sandbox off --control none --raw memory:256M
        off=$(cost_of --depth 32)
        stop_nbdcrypt
        start_nbdcrypt --sandbox strict --control "$control" --metrics-unix "$test_dir/metrics" --audit-file "$test_dir/audit" \
            --export raw=memory:256M,raw,limit-iops=100000000,limit-bandwidth=1T
        (while ctl metrics >"$log_dir/metrics"; do
            # What the page asks for.
            curl --silent --unix-socket "$test_dir/metrics" http://localhost/status.json >"$log_dir/page"
            sleep 1
        done) &
        scrape=$!
        ratios+=("$(calculate 'b / a' "a=$off" "b=$(cost_of --depth 32)")")
        { kill "$scrape" && wait "$scrape" 2>"$log_dir/wait"; } || true
        stop_nbdcrypt
    done
    judge "cost: CPU time of all on / all off" "$(printf '%s\n' "${ratios[@]}" | median)" 1.03
}

check_limits() {
    local rate got time

    start_nbdcrypt --control "$control" --export raw=memory:256M,raw
    for rate in 1 10 100 1000 10000 100000 500000; do
        ctl limits raw "limit-iops=$rate" >"$log_dir/limits"
        time=5
        [ "$rate" -gt 1 ] || time=60
        expect_bench --time "$time" --warm-up 2 --depth 64 --connections 4 --json "$uri"
        got=$(figure total/iops)
        if [ "$rate" -ge 100000 ] && [ "$(calculate 'g < 0.9 * r' "g=$got" "r=$rate")" = 1 ]; then
            printf '%-44s %10.6g  this machine gets no further\n' "limits: IOPS where $rate are allowed" "$got"
            continue
        fi
        judge "limits: deviation from $rate IOPS" "$(calculate 'g > r ? g / r - 1 : 1 - g / r' "g=$got" "r=$rate")" 0.02
    done
    stop_nbdcrypt
}

# many COUNT: configures so many exports.
many() {
    local i

    printf '[server]\nthreads = 2\n' >"$test_dir/conf"
    for ((i = 0; i < $1; i++)); do printf '[export vm%s]\nimage = memory:64k\nraw = yes\n' "$i"; done >>"$test_dir/conf"
    chmod go-w "$test_dir" "$test_dir/conf"
    start_nbdcrypt --config "$test_dir/conf" --control "$control" --max-connections-per-client 4096
}
resident_kib() {
    awk '/^Rss(Anon|Shmem)/ { sum += $2 } END { print sum }' "/proc/$pid/status"
}

check_memory() {
    local before after

    many 1000
    before=$(resident_kib)
    after=$("$PYTHON" "$here/harness/attach_each.py" "$socket" 1000 "$pid")
    judge "memory: KiB of each export in use" "$(calculate '(a - b) / 1000' "a=$after" "b=$before")" 64
    stop_nbdcrypt
}

check_scrape() {
    local times=() before i

    many 1000
    ctl metrics >"$log_dir/metrics"
    for ((i = 0; i < rounds; i++)); do
        before=$EPOCHREALTIME
        ctl metrics >"$log_dir/metrics"
        times+=("$(calculate '(b - a) * 1000' "a=$before" "b=$EPOCHREALTIME")")
    done
    judge "scrape: ms for 1,000 exports" "$(printf '%s\n' "${times[@]}" | median)" 200
    stop_nbdcrypt
}

[ $# -gt 0 ] || set -- fairness report cost limits memory scrape
echo "load average: $(cut -d' ' -f1-3 /proc/loadavg)"
for check; do
    "check_$check"
done
exit "$missed"
