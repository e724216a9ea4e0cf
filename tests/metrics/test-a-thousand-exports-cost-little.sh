#!/bin/bash
# Metrics of 1,000 exports take no message to a worker, and little CPU time; those that came first have histograms of their own,
# and keep them.
. "$(dirname "$0")/../support/functions.sh"

control=$(temp_socket)
conf=$test_dir/nbdcrypt.conf
{
    printf '[server]\nunix = %s\nthreads = 2\n[metrics]\nexports-max = 20\n' "$test_dir/nbd"
    for i in {1..1000}; do printf '[export vm%s]\nimage = memory:64k\nraw = yes\n' "$i"; done
} >"$conf"
chmod go-w "$test_dir" "$conf"
start_nbdcrypt --config "$conf" --control "$control" --unix "$test_dir/nbd"
scrape() {
    "$NBDCRYPT" ctl --socket "$control" metrics >"$1"
}

# Clients of 200 of them, so that there are figures.
"$PYTHON" - "$test_dir/nbd" <<'EOF_PY'
import sys
from nbd_client import CMD_READ, Client
clients = [Client(f"nbd+unix:///vm{i}?socket={sys.argv[1]}") for i in range(1, 1001, 5)]
for client in clients:
    client.send(CMD_READ, 0, 512)
    client.receive()
EOF_PY

# Nobody is there, and the workers sleep: a message would wake them.
worker_turns() {
    for task in /proc/"$pid"/task/*; do
        ! grep -qE '^nbdcrypt-[0-9]+$' "$task/comm" || cat "$task/status"
    done | awk '/^voluntary_ctxt_switches/ { sum += $2; found++ } END { print found, sum }'
}
they_sleep() {
    before=$(worker_turns)
    sleep 0.3
    [ "$before" = "$(worker_turns)" ]
}
wait_until 30 they_sleep
[[ $before = '2 '* ]] || fail "these are the threads: $(cat /proc/"$pid"/task/*/comm | xargs)"
cpu_ms() {
    awk '{ print ($14 + $15) * 10 }' "/proc/$pid/stat"
}
cpu_before=$(cpu_ms) start=$SECONDS
for _ in {1..10}; do scrape "$test_dir/first"; done
cpu=$(($(cpu_ms) - cpu_before))
after=$(worker_turns) # each second they are asked whether they live
[ $((${after#2 } - ${before#2 })) -lt $((3 * (SECONDS - start + 2))) ] ||
    fail "turns of 2 workers for 10 scrapes: from $before to $after"
note "a scrape of 1,000 exports: $((cpu / 10)) ms of CPU time, $(wc -l <"$test_dir/first") lines"
is_sanitized || [ "$cpu" -lt 4000 ] || fail "10 scrapes took $cpu ms of CPU time"

own() {
    sed -nE 's/^nbdcrypt_request_duration_seconds_count\{export="([^"]*)",op="read"\} .*/\1/p' "$1" | sort
}
expect_equal "exports with histograms" "$(printf '%s\n' '(others)' vm{1..20} | sort)" "$(own "$test_dir/first")"
expect_equal "exports with counters" 1001 "$(grep -c '^nbdcrypt_requests_total.*op="read"' "$test_dir/first")"
expect_equal "reads" 200 "$(awk '/^nbdcrypt_requests_total.*op="read"/ { sum += $2 } END { print sum }' "$test_dir/first")"
expect_equal "reads in histograms" 200 \
    "$(awk '/^nbdcrypt_request_duration_seconds_count.*op="read"/ { sum += $2 } END { print sum }' "$test_dir/first")"

# One goes: no old one gets its place, for what all others have together would go back; a new one does.
expect_success ctl --socket "$control" remove vm2
scrape "$test_dir/second"
expect_equal "exports with histograms" "$(printf '%s\n' '(others)' vm1 vm{3..20} | sort)" "$(own "$test_dir/second")"
expect_success ctl --socket "$control" add new memory:64k raw=yes
scrape "$test_dir/third"
expect_equal "exports with histograms" "$(printf '%s\n' '(others)' new vm1 vm{3..20} | sort)" "$(own "$test_dir/third")"
stop_nbdcrypt
