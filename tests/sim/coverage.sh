#!/bin/bash
# coverage.sh [SEEDS [FIRST]]: how much of the data path, of remote disks and of header changes the simulation
# runs, file by file, and which lines it does not.  Run in a build folder, or with top_srcdir set: it makes a
# build of its own in `coverage` there.
#
# Files that only a kernel can run (kTLS, the loop itself) are not among these: real tests cover them.  Within
# them some lines can't be reached here: no memory, block devices and O_DIRECT, tokens of keyslots, what another
# server of NBD might answer.  They count all the same.
set -euo pipefail

SEEDS=${1:-300}
FIRST=${2:-1}
PERCENT_WANTED=${PERCENT_WANTED:-90}
source_folder=$(cd "${top_srcdir:-..}" && pwd)

data_path=(server/block/{align,luks,window}-layer server/block/{range-cover,range-hot,range-lock,group-sync,layer}
    server/block/{flusher,request} server/connection/{connection,drain,handshake,handshake-options,long-zeroes}
    server/connection/{nbd-command,nbd-command-check,negotiated,outbox,transmission,waiting-line}
    server/connection/{worker,worker-exports,worker-suspend} server/transport/{iov-gather,transport-plain}
    server/transport/{transport-tls,transport-tls-handshake,tls-buffer,tls-protection,tls-record-scan,tls-stream}
    server/loop/{buffer,offload} server/nbd/nbd-wire server/serve/exports server/serve/worker-{round,thread}
    server/connection/{throttle,fair-share,memory-pressure,stall,stall-watch} server/base/rate-limit
    server/export/limit-{set,clients} server/serve/exports-{arrival,change,removal,suspend}
    server/serve/{errand,export-closing,reload,reload-server} plugins/file/file)
remote=(plugins/remote/remote{,-command,-coverage,-dial,-dial-thread,-ledger,-link,-outage,-queue,-replies}
    plugins/remote/remote-{requests,slots,stream} server/client/{channel,client-handshake,tls-client})
headers=(crypto/luks/luks-{backup,change,keyslot,material,restore,steps,store} server/volume/volume{,-header,-key}
    server/cli/command-{key,header})

mkdir -p coverage
cd coverage
if [ ! -e Makefile ]; then
    "$source_folder"/configure -q CFLAGS='-O1 -g --coverage' LDFLAGS='--coverage -Wl,-u,__gcov_dump' >configure.out
fi
make -j"${JOBS:-2}" tests/sim/simulate >make.out 2>&1 || { tail -n 20 make.out; exit 1; }
[ -n "${KEEP:-}" ] || find . -name '*.gcda' -delete
tests/sim/simulate --seeds "$SEEDS" "$FIRST" >seeds.out 2>seeds.errors || echo "a seed has failed: see $PWD/seeds.errors"
# What takes too much at once to happen in these, as in test-sim-seeds-find-nothing.sh.
tests/sim/simulate --seeds 20 1 remote=0 job_ms=50 lives=6 life_commands=20 power=100 live_ms=0 >>seeds.out 2>>seeds.errors || :
tests/sim/simulate --seeds 20 1 live_ms=20 tls=2 lives=3 >>seeds.out 2>>seeds.errors || :
tests/sim/simulate --seeds 20 1 remote=1 store_tls=1 store_deaths=4 store_life_ms=40 >>seeds.out 2>>seeds.errors || :

tests/sim/simulate --seeds 12 1 remote=1 store_deaths=1 lives=2 commands=150 lies=40 store_tls=0 >>seeds.out 2>>seeds.errors || :
tests/sim/simulate --seeds 8 101 remote=1 store_deaths=1 lives=2 commands=150 lies=150 store_tls=0 live_ms=0 \
    >>seeds.out 2>>seeds.errors || :
tests/sim/simulate --seeds 20 1 freeze_permille=20 live_ms=0 job_ms=0 remote=0 long_permille=300 size_kib=4096 \
    region_kib=4096 >>seeds.out 2>>seeds.errors || :
tests/sim/simulate --seeds 20 1 live_ms=10 layer=2 lives=1 clients=6 depth=24 slow_permille=100 disk_us=10000 \
    remote=0 >>seeds.out 2>>seeds.errors || :

total_lines=0 total_run=0
# Prints a line for each file, and adds it up.
look() {
    local name=$1 object output percent lines

    shift
    echo "$name:"
    for file; do
        object=$(find . -path "*/${file%/*}/*${file##*/}.gcda" | grep -E "/(lib[a-z_]*-)?${file##*/}\.gcda$" | head -n 1)
        if [ -z "$object" ]; then
            echo "    $file: it is never run"
            continue
        fi
        output=$(gcov -n "$object" 2>gcov.err | grep -A 1 -F "/$file.c'" | tail -n 1)
        percent=$(sed -nE 's/Lines executed:([0-9.]+)% of.*/\1/p' <<<"$output")
        lines=$(sed -nE 's/.* of ([0-9]+)$/\1/p' <<<"$output")
        printf '    %6s %% of %4d lines  %s\n' "$percent" "$lines" "$file"
        total_lines=$((total_lines + lines))
        total_run=$(awk "BEGIN { print $total_run + $lines * $percent / 100 }")
    done
}
look "data path" "${data_path[@]}"
look "remote disks" "${remote[@]}"
look "header changes" "${headers[@]}"
awk "BEGIN { p = 100 * $total_run / $total_lines; printf \"%.1f %% of %d lines in $SEEDS seeds\n\", p, $total_lines
    exit p < $PERCENT_WANTED }"
