#!/bin/bash
# On a terminal a line tells how far a run is, and it is gone at the end; SIGINT ends a run with the figures so far and
# status 1.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

start_nbdcrypt --raw memory:64M
python - "$bench" "$uri" <<'EOF2'
import os
import pty
import re
import subprocess
import sys

leader, follower = pty.openpty()
process = subprocess.Popen([sys.argv[1], "--time", "3", "--warm-up", "2", "--json", sys.argv[2]],
                           stderr=follower, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
os.close(follower)
shown = b""
while True:
    try:
        part = os.read(leader, 4096)
    except OSError:  # the other end is closed
        break
    if not part:
        break
    shown += part
process.wait()
lines = shown.decode().split("\r\x1b[K")
if process.returncode != 0 or lines[0] != "" or lines[-1] != "":
    raise SystemExit(f"status {process.returncode}, on the terminal: {shown!r}")
patterns = [r"warming up, 1 s: \d+ requests/s, \d+\.\d MB/s", r"measuring, 1 s: \d+ requests/s, \d+\.\d MB/s"]
for pattern in patterns:
    if not any(re.fullmatch(pattern, line) for line in lines):
        raise SystemExit(f"no line matches {pattern!r}: {shown!r}")
EOF2

"$bench" --time 100 "$uri" >"$log_dir/bench-out" 2>"$log_dir/bench-err" &
bench_pid=$!
remember_pid "$bench_pid"
sleep 1
kill -INT "$bench_pid"
status=0
wait "$bench_pid" || status=$?
expect_equal "exit status after SIGINT" 1 "$status"
expect_message "$log_dir/bench-err" "nbdcrypt-bench: interrupted: the figures are those of a shorter run"
expect_match "$log_dir/bench-out" '^read +[1-9][0-9]* '
