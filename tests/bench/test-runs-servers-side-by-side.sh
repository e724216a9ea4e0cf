#!/bin/bash
# bench/compare.py measures nbdcrypt and others, over both transports, with each client; the CSV holds what it has
# measured, and nothing is left behind.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/compare-functions.sh"

requires nbdkit --version
requires nbd-server -V
requires fio --version
requires nbdcopy --version

dir=$(temp_dir)
csv=$(temp_file)
common=(--nbdcrypt "$NBDCRYPT" --dir "$dir" --size 4M --rounds 1 --warm-up 0.1 --csv "$csv" --no-charts)

expect_compare 0 run "${common[@]}" --seconds 0.3 --transport unix,tcp --jobs randread-4x16,copy-write --idle 20 \
    --servers nbdkit-file,nbd-server,nbdcrypt-raw,nbdcrypt-luks2-4096
expect_match "$out" '^machine: [0-9]+ CPUs, '
expect_match "$out" '^random read 4K, 4 x depth 16, by nbdcrypt-bench$'
expect_match "$out" '^20 idle connections, nbdcrypt-luks2-4096: [0-9.]+ KiB of resident memory each$'
python - "$csv" "$csv_columns" <<'EOF'
import csv
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    lines = file.readlines()
facts = [line for line in lines if line.startswith("#")]
for what in ("machine", "kernel", "versions", "folder", "rounds"):
    if not any(line.startswith("# %s: " % what) for line in facts):
        raise SystemExit("the head does not name the " + what)
data = [line for line in lines if not line.startswith("#")]
if data[0].strip() != sys.argv[2]:
    raise SystemExit("columns: " + data[0])
rows = list(csv.DictReader(data))
found = {(row["transport"], row["job"], row["server"]) for row in rows}
servers = ("nbdkit-file", "nbd-server", "nbdcrypt-raw", "nbdcrypt-luks2-4096")
for transport in ("unix", "tcp"):
    for job in ("randread-4x16", "copy-write"):
        for server in servers:
            if (transport, job, server) not in found:
                raise SystemExit("not measured: %s, %s, %s" % (transport, job, server))
for row in rows:
    if row["job"] == "idle":
        continue
    # nbd-server forks: what a process of the warm-up has used is told in ticks of 10 ms once it has ended.
    least_ns = -20_000_000 if row["server"] == "nbd-server" else 0
    if int(row["server_cpu_ns"]) <= least_ns or int(row["client_cpu_ns"]) <= 0 or int(row["server_peak_kib"]) < 1000:
        raise SystemExit("no cost: %s" % row)
    # No server can have more time than all CPUs had, and every request costs something.
    if int(row["bytes"]) != int(row["requests"]) * int(row["block_bytes"]):
        raise SystemExit("bytes are not requests x block: %s" % row)
    if row["job"] == "copy-write" and (row["client"] != "nbdcopy" or int(row["bytes"]) % (4 << 20) != 0):
        raise SystemExit("nbdcopy copies whole disks: %s" % row)
    if row["job"] != "copy-write" and not 0 < float(row["p50_ns"]) <= float(row["p99_ns"]):
        raise SystemExit("latencies: %s" % row)
EOF

expect_compare 0 run "${common[@]}" --seconds 0.3 --jobs randread-32 --client fio --idle 0 --servers nbdcrypt-raw
expect_match "$out" '^random read 4K, depth 32, by fio$'
expect_match "$csv" '^1,nbdcrypt-raw,randread-32,cache,unix,fio,4194304,4096,0,random,1,32,[0-9]+,[1-9][0-9]*,'

expect_compare 0 growth "${common[@]}" --seconds 0.1 --servers nbdcrypt-luks2-512 --parts image-size
expect_match "$csv" '^1,nbdcrypt-luks2-512,image-size,tmpfs,unix,nbdcrypt-bench,1048576,4096,'
expect_match "$csv" '^1,nbdcrypt-luks2-512,image-size,tmpfs,unix,nbdcrypt-bench,17592186044416,4096,'

# What is not there is told.
expect_compare 2 run --servers nbdcrypt-raw,best-server
expect_match "$err" "there is no 'best-server' among "
expect_compare 1 run --nbdcrypt "$dir/nowhere"
expect_match "$err" "nowhere was not found: build it, or name it with --nbdcrypt"

expect_equal "what is left in --dir" "" "$(ls -A "$dir")"
! pgrep -f "$dir" >"$log_dir/left" || fail "a server is left: $(cat "$log_dir/left")"
