#!/bin/bash
# The table and the JSON of nbdcrypt-bench: every member is there, the figures agree with each other, with the clock, and
# with what proc(5) says of the server, forked processes included.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

start_nbdcrypt --raw memory:64M
expect_bench --time 1 --warm-up 1 --server-pid "$pid" --write 50 --connections 2 --threads 2 "$uri"
expect_match "$out" '^ +requests +IOPS +MB/s +p50 us +p99 us +p99.9 us +max us$'
for row in read write total; do
    expect_match "$out" "^$row +[0-9]+ +[0-9]+( +[0-9]+\.[0-9]){5}\$"
done
for row in server bench; do
    expect_match "$out" "^$row +[0-9]+\.[0-9]{3} +[0-9]+\.[0-9] +[0-9]+\.[0-9] +[0-9]+\$"
done

# One process that works, with a child that works: more than nbdcrypt itself does here.
"$PYTHON" - <<'EOF2' >"$log_dir/child" &
import os

child = os.fork()
if child != 0:
    print(child, flush=True)
while True:
    pass
EOF2
parent=$!
remember_pid "$parent"
wait_until 10 test -s "$log_dir/child"
child=$(cat "$log_dir/child")
clean_up_test() {
    kill -KILL "$child" 2>/dev/null
}

ticks_of() {
    awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"
}

expect_bench --json --time 0.25 --warm-up 0.1 "$uri"
expect_equal "a quarter of a second" 250000000 "$(figure elapsed_ns)"
expect_equal "the warm-up" 0.1 "$(figure job/warm_up_s)"

before=$(($(ticks_of "$parent") + $(ticks_of "$child")))
expect_bench --json --time 2 --server-pid "$parent" --pattern zipf:1.2 --block 512-4K --depth 7 --seed 12345 \
    --offset 1M --size 10M "$uri"
after=$(($(ticks_of "$parent") + $(ticks_of "$child")))
python - "$out" $((after - before)) "$(getconf CLK_TCK)" "$uri" <<'EOF2'
import json
import sys

path, ticks, hertz, uri = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
report = json.load(open(path))


def equal(what, got, expected):
    if got != expected:
        raise SystemExit(f"{what}: {got!r}, expected {expected!r}")


def near(what, got, expected, part):
    if not (1 - part) * expected <= got <= (1 + part) * expected:
        raise SystemExit(f"{what}: {got}, expected about {expected}")


equal("uri", report["uri"], uri)
equal("export", report["export"], {"name": "", "size_bytes": 64 << 20, "structured_replies": True,
                                   "extended_headers": True})
equal("job", report["job"], {
    "connections": 1, "depth": 7, "threads": 1, "client": "own", "block_min_bytes": 512, "block_max_bytes": 4096,
    "pattern": "zipf", "theta": 1.2, "read_percent": 100, "write_percent": 0, "trim_percent": 0,
    "zero_percent": 0, "offset_bytes": 1 << 20, "size_bytes": 10 << 20, "seed": 12345, "warm_up_s": 0})
equal("elapsed", report["elapsed_ns"], 2_000_000_000)
equal("interrupted", report["interrupted"], False)
equal("writes", report["write"]["requests"], 0)
equal("reads", report["read"], report["total"])
total = report["total"]
near("IOPS", total["iops"], total["requests"] / 2, 0.001)
near("bytes per second", total["bytes_per_second"], total["bytes"] / 2, 0.001)
near("size of a request", total["bytes"] / total["requests"], 2304, 0.1)
latency = total["latency_ns"]
if not 0 < latency["p50"] <= latency["p99"] <= latency["p99.9"] <= latency["max"] <= 2_000_000_000:
    raise SystemExit(f"latencies are out of order: {latency}")
# Seven requests are in flight all the time: Little's law.
near("mean latency", latency["mean"], 7 * 2e9 / total["requests"], 0.2)
for name in ("server_cpu", "bench_cpu"):
    near(f"{name} per KiB", report[name]["ns_per_kib"], report[name]["ns"] / (total["bytes"] / 1024), 0.01)
    near(f"{name} per request", report[name]["ns_per_request"], report[name]["ns"] / total["requests"], 0.01)
# The ticks are of a time that is a little longer: programs start and end in it.
server_ns, ticks_ns = report["server_cpu"]["ns"], ticks * 1e9 / hertz
if not 0.5 * ticks_ns <= server_ns <= ticks_ns + 4e9 / hertz:
    raise SystemExit(f"server CPU: {server_ns}, and by the ticks {ticks_ns}")
EOF2
