# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is for the scripts, or by functions.sh
# What the scripts share that measure servers in turn (sourced, behind tests/support/functions.sh): their arguments, the
# turns, a measurement with nbdcrypt-bench, the medians.
#
# A script sets `servers` (words) and `measure SERVER JOB ARGUMENT...`, which prints one line:
#
#     SERVER JOB requests-per-second CPU-us-per-request median-latency-in-us

rounds=${1:-5} seconds=${2:-3}
bench=$(dirname "$NBDCRYPT")/nbdcrypt-bench
results=$test_dir/results

# measure_nbd SERVER JOB BENCH-OPTION...: of the server $pid at $uri.
measure_nbd() {
    local server=$1 job=$2 report=$test_dir/report

    shift 2
    "$bench" "$@" --time 0.5 "$uri" >"$report"
    "$bench" "$@" --time "$seconds" --server-pid "$pid" --json "$uri" >"$report"
    "$PYTHON" - "$server" "$job" "$report" <<'EOF'
import json
import sys

report = json.load(open(sys.argv[3]))
total = report["total"]
print(*sys.argv[1:3], round(total["iops"]), round(report["server_cpu"]["ns_per_request"] / 1e3, 1),
      round(total["latency_ns"]["p50"] / 1e3, 1))
EOF
}

# in_turn 'JOB ARGUMENT...'...: for each job one after the other of the servers, the other way round in every
# second round; a line for each measurement, then the medians.
in_turn() {
    local round job server

    echo "# server job requests_per_second cpu_us_per_request median_latency_us"
    for ((round = 1; round <= rounds; round++)); do
        for job; do
            for server in $(tr ' ' '\n' <<<"$servers" | if [ $((round % 2)) = 1 ]; then cat; else tac; fi); do
                # shellcheck disable=SC2086 # several words
                measure "$server" $job >>"$results" # not in a pipe: what is started belongs to this shell
                tail -n 1 "$results"
            done
        done
    done
    echo
    "$PYTHON" - "$results" <<'EOF'
import statistics
import sys

table = {}
for line in open(sys.argv[1]):
    server, job, *figures = line.split()
    table.setdefault((job, server), []).append([float(figure) for figure in figures])
print("medians: job, server: requests per second, CPU us per request, median latency in us")
for (job, server), rows in sorted(table.items()):
    print(job.ljust(16), server.ljust(18), *(f"{statistics.median(column):9.1f}" for column in zip(*rows)))
EOF
}
