#!/bin/bash
# What running the server for others may cost, each as a bar that is held or missed:
#
#     bench/check-operate.sh [CHECK...]      in the build folder; all by default, about 2 minutes
#
#     fairness   a client with one request in flight beside one with 128: its p99 is at most 3 times that alone
#     report     reports while 10,000 requests are in flight: p99 of the clients at most doubles
#     cost       board, metrics and page each second, audit, limits, strict sandbox: within 3 % of CPU time of none of them
#     limits     IOPS are within 2 % of limit-iops, from 1 to 500,000 (as far as this machine gets)
#     memory     an export in use takes at most 64 KiB
#     scrape     metrics of 1,000 exports are there within 200 ms, and take no more CPU time
#
# Exit status: 1 when a bar was missed.  ROUNDS (5) and SECONDS_EACH (1) are of the first three:
# what is compared takes turns, and the median of the pairs counts.
# shellcheck disable=SC2317 # checks are called by their names
here=$(cd "$(dirname "$0")" && pwd)
export TEST_TIMEOUT_S=900
. "$here/../tests/support/functions.sh"
. "$here/../tests/support/bench-functions.sh"

rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-1}
control=$test_dir/control missed=0

# Who waits for a CPU measures its scheduler.  So the server has one of its own, and its clients have another one; of two
# clients the one that keeps the server busy has a third CPU, or what the other one leaves.
server_cpu=0 client_cpu=0 other_cpu=0 behind=(chrt --idle 0)
if [ "$(nproc)" -ge 2 ]; then client_cpu=1 other_cpu=1; fi
if [ "$(nproc)" -ge 3 ]; then other_cpu=2 behind=(); fi

say() {
    echo "... $*" >&2
}
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
    printf '%s\n' "$@" | sort -g | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}
# judge CHECK MEASURED AT-MOST [REMARK]
judge() {
    local verdict=held

    if [ "$(calculate 'a > b' "a=$2" "b=$3")" = 1 ]; then verdict=MISSED missed=1; fi
    printf '%-52s %9.4g  at most %-5s %s%s\n' "$1" "$2" "$3" "$verdict" "${4:+  ($4)}"
}
# judge_pairs CHECK AT-MOST A/B...: by the median, with the least and the greatest.
judge_pairs() {
    local check=$1 most=$2

    shift 2
    judge "$check" "$(median "$@")" "$most" "$(printf '%s\n' "$@" | sort -g | awk 'NR == 1 { printf "%.3g to ", $1 } END { printf "%.3g", $1 }')"
}
# on_cpu PID: a server and all its threads.
on_cpu() {
    taskset --all-tasks --cpu-list --pid "$server_cpu" "$1" >"$log_dir/taskset"
}
# in_background COMMAND...: sets $background.
in_background() {
    "$@" >"$log_dir/background" 2>&1 &
    background=$!
    remember_pid "$background"
}
end_background() {
    { kill "$background" && wait "$background" 2>"$log_dir/wait"; } || true
}

# p99 BENCH-OPTION... URI: of reads, in microseconds.
p99() {
    run_on_client_cpu --time "$seconds" --json "$@"
    calculate "$(figure read/latency_ns/p99) / 1000"
}
run_on_client_cpu() {
    local before=$bench

    bench=$test_dir/bench
    expect_bench "$@"
    bench=$before
}
printf '#!/bin/sh\nexec taskset --cpu-list %s "%s" "$@"\n' "$client_cpu" "$bench" >"$test_dir/bench"
chmod +x "$test_dir/bench"

# Two exports: connections of one user to one of them are one client.
check_fairness() {
    local pairs=() alone beside i busy

    start_nbdcrypt --threads 1 --export quiet=memory:64M,raw --export busy=memory:64M,raw
    on_cpu "$pid"
    uri="nbd+unix:///quiet?socket=$socket" busy="nbd+unix:///busy?socket=$socket"
    for ((i = 1; i <= rounds; i++)); do
        alone=$(p99 --depth 1 --warm-up 0.2 "$uri")
        in_background taskset --cpu-list "$other_cpu" ${behind[@]+"${behind[@]}"} timeout 60 "$bench" --depth 128 --time 60 "$busy"
        beside=$(p99 --depth 1 --warm-up 0.3 "$uri")
        end_background
        say "fairness, round $i of $rounds: p99 of $alone us alone, $beside us beside the other one"
        pairs+=("$(calculate 'b / a' "a=$alone" "b=$beside")")
    done
    judge_pairs "fairness: p99 beside / alone" 3 "${pairs[@]}"
    stop_nbdcrypt
}

report_again_and_again() {
    while "$NBDCRYPT" ctl --socket "$control" report >"$log_dir/report"; do sleep 1; done
}

check_report() {
    local pairs=() without with i

    start_nbdcrypt --control "$control" --raw memory:256M
    for ((i = 1; i <= rounds; i++)); do
        without=$(p99 --connections 80 --depth 128 --warm-up 0.3 "$uri")
        in_background report_again_and_again
        with=$(p99 --connections 80 --depth 128 --warm-up 0.3 "$uri")
        end_background
        say "report, round $i of $rounds: p99 of $without us without, $with us with reports"
        pairs+=("$(calculate 'b / a' "a=$without" "b=$with")")
    done
    judge_pairs "report: p99 of 10,240 in flight, with / without" 2 "${pairs[@]}"
    stop_nbdcrypt
}

scrape_again_and_again() {
    while sleep 1; do
        taskset --cpu-list "$client_cpu" curl --silent --unix-socket "$test_dir/metrics" \
            http://localhost/metrics http://localhost/status.json >"$log_dir/page"
    done
}
# cost_of PID URI BENCH-OPTION...: its CPU time for a request, in ns.
cost_of() {
    local of=$1 at=$2

    shift 2
    run_on_client_cpu --time "$seconds" --warm-up 0.1 --json --server-pid "$of" "$@" "$at"
    figure server_cpu/ns_per_request
}
# volume NAME: sets $image to one in memory.
volume() {
    local folder=$test_dir

    if [ -w /dev/shm ]; then
        folder=$(mktemp -d /dev/shm/check-operate.XXXXXX)
        folders+=("$folder")
    fi
    image=$folder/$1
    expect_success format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --sector-size 4096 --size 64M "$image"
}
folders=()
clean_up_test() {
    rm -rf "${folders[@]+"${folders[@]}"}"
}

# The jobs of `make bench-quick`, on two servers that are there all the time.
check_cost() {
    local jobs=("read:--block 256K --pattern sequential --depth 16" "write:--block 256K --pattern sequential --depth 16 --write 100"
        "randread-32:--depth 32" "randread-4x16:--connections 4 --depth 16") pairs name job i off off_uri on on_uri a b

    volume off
    start_nbdcrypt --threads 1 --sandbox off --control none --key-file "$passphrase" "$image"
    off=$pid off_uri=$uri
    volume on
    start_nbdcrypt --threads 1 --sandbox strict --control "$control" --metrics-unix "$test_dir/metrics" \
        --audit-file "$test_dir/audit" --limit-iops 100000000 --limit-bandwidth 1T --key-file "$passphrase" "$image"
    on=$pid on_uri=$uri
    on_cpu "$off"
    on_cpu "$on"
    in_background scrape_again_and_again
    for job in "${jobs[@]}"; do
        name=${job%%:*} job=${job#*:} pairs=()
        say "cost, $name"
        # shellcheck disable=SC2086 # words
        for ((i = 0; i < rounds; i++)); do
            if ((i % 2)); then
                a=$(cost_of "$off" "$off_uri" $job) b=$(cost_of "$on" "$on_uri" $job)
            else
                b=$(cost_of "$on" "$on_uri" $job) a=$(cost_of "$off" "$off_uri" $job)
            fi
            pairs+=("$(calculate 'b / a' "a=$a" "b=$b")")
        done
        judge_pairs "cost: CPU time with all on / all off, $name" 1.03 "${pairs[@]}"
    done
    end_background
    stop_nbdcrypt
    pid=$off
    stop_nbdcrypt
}

# Slow ones by a client that looks at each answer, for they are few.
check_limits() {
    local rate got free

    start_nbdcrypt --control "$control" --export raw=memory:64M,raw
    expect_bench --time 0.5 --warm-up 0.2 --depth 128 --connections 4 --block 512 --json "$uri"
    free=$(figure total/iops)
    for rate in 1 10 100 1000 10000 100000 500000; do
        say "limits: $rate IOPS"
        ctl limits raw "limit-iops=$rate" >"$log_dir/limits"
        if [ "$rate" -le 100 ]; then
            got=$("$PYTHON" "$here/harness/rate_of.py" "$uri" "$rate" 5)
        else
            expect_bench --time 3 --warm-up 0.5 --depth 128 --connections 4 --block 512 --json "$uri"
            got=$(figure total/iops)
        fi
        if [ "$(calculate 'f < 1.1 * r' "f=$free" "r=$rate")" = 1 ]; then
            printf '%-52s %9.6g  this machine gets no further than %.6g\n' "limits: IOPS where $rate are allowed" "$got" "$free"
            continue
        fi
        judge "limits: deviation from $rate IOPS" "$(calculate 'g > r ? g / r - 1 : 1 - g / r' "g=$got" "r=$rate")" 0.02
    done
    stop_nbdcrypt
}

# many COUNT: configures so many exports.
many() {
    local i

    say "$1 exports"
    printf '[server]\nthreads = 2\n' >"$test_dir/conf"
    for ((i = 0; i < $1; i++)); do printf '[export vm%s]\nimage = memory:64k\nraw = yes\n' "$i"; done >>"$test_dir/conf"
    chmod go-w "$test_dir" "$test_dir/conf"
    start_nbdcrypt --config "$test_dir/conf" --control "$control" --max-connections-per-client 4096 \
        --metrics-unix "$test_dir/metrics"
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

cpu_ms() {
    awk '{ print ($14 + $15) * 10 }' "/proc/$pid/stat"
}

check_scrape() {
    local times=() before cpu i

    many 1000
    for ((i = 0; i < 10; i++)); do
        [ "$i" -ne 1 ] || cpu=$(cpu_ms) # the first one has memory to get
        before=$EPOCHREALTIME
        curl --silent --fail --unix-socket "$test_dir/metrics" http://localhost/metrics >"$log_dir/metrics"
        times+=("$(calculate '(b - a) * 1000' "a=$before" "b=$EPOCHREALTIME")")
    done
    cpu=$(($(cpu_ms) - cpu))
    judge "scrape: ms for 1,000 exports" "$(median "${times[@]}")" 200
    judge "scrape: ms of CPU time for 1,000 exports" "$(calculate 'c / 9' "c=$cpu")" 200
    stop_nbdcrypt
}

[ $# -gt 0 ] || set -- fairness report cost limits memory scrape
echo "load average: $(cut -d' ' -f1-3 /proc/loadavg); CPUs: $(nproc)"
for check; do
    "check_$check"
done
[ "$missed" = 0 ] || rm -f "$log_dir"/* # nothing has failed
exit "$missed"
