#!/bin/bash
# Peers side by side: what a KiB costs the server in CPU time, and how fast it comes.  See README.md here.
#
#     bench/compare.sh [OPTION...]
#       --dir DIR         where the images go, about 5 times --size (default: $TMPDIR or /tmp)
#       --size SIZE       of the disk (default 1G)
#       --rounds N        each round runs every server once (default 3)
#       --seconds N       of one measurement (default 3)
#       --servers LIST    by commas (default: all; see below)
#       --jobs LIST       by commas: read,write,randread,copy (default: all)
#       --nbdcrypt FILE   the program (default: ./nbdcrypt, ./build/nbdcrypt or the one in PATH)
#       --csv FILE        every single measurement (default: compare.csv in the current folder)
#       --no-idle         leaves out the memory of 1,000 idle connections
#       --check           ends with PASS or FAIL against the bars, and with that exit status
#
# Servers: nbdkit-file nbdkit-luks qemu-luks nbdcrypt-raw nbdcrypt-luks1 nbdcrypt-luks2-512 nbdcrypt-luks2-4096
set -euo pipefail
export LC_ALL=C

PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
all_servers=nbdkit-file,nbdkit-luks,qemu-luks,nbdcrypt-raw,nbdcrypt-luks1,nbdcrypt-luks2-512,nbdcrypt-luks2-4096

parent=${TMPDIR:-/tmp}
size=1G
rounds=3
seconds=3
servers=$all_servers
jobs=read,write,randread,copy
nbdcrypt=
csv=$PWD/compare.csv
idle=yes
summary_options=()

die() {
    echo "$0: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --no-idle) idle=no ;;
    --check) summary_options+=(--check) ;;
    --help | -h) sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    --dir | --size | --rounds | --seconds | --servers | --jobs | --nbdcrypt | --csv)
        [ $# -gt 1 ] || die "$1 needs a value"
        case $1 in
        --dir) parent=$2 ;;
        --size) size=$2 ;;
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --servers) servers=$2 ;;
        --jobs) jobs=$2 ;;
        --nbdcrypt) nbdcrypt=$(realpath "$2") ;;
        --csv) csv=$(realpath "$2") ;;
        esac
        shift
        ;;
    *) die "unknown option '$1'; see $0 --help" ;;
    esac
    shift
done

IFS=, read -r -a servers <<<"$servers"
IFS=, read -r -a jobs <<<"$jobs"
size_bytes=$(numfmt --from=iec "$size")

# ---- what is needed ----

find_nbdcrypt() {
    local candidate

    if [ -n "$nbdcrypt" ]; then
        [ -x "$nbdcrypt" ] || die "--nbdcrypt $nbdcrypt: there is no such program"
        echo "$nbdcrypt"
        return
    fi
    for candidate in ./nbdcrypt ./build/nbdcrypt "$here/../nbdcrypt" "$here/../build/nbdcrypt" \
        "$(command -v nbdcrypt || true)"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            realpath "$candidate"
            return
        fi
    done
    die "nbdcrypt was not found: build it, or name it with --nbdcrypt"
}

need() {
    command -v "$1" >/dev/null || die "$1 is missing; install it: $2"
}

need fio fio
need nbdcopy "libnbd-bin (Fedora: libnbd)"
need python3 python3
need qemu-img "qemu-utils (Fedora: qemu-img)"
need cryptsetup "cryptsetup-bin (Fedora: cryptsetup)"
case " ${servers[*]} " in *" nbdkit-"*) need nbdkit nbdkit ;; esac
case " ${servers[*]} " in *" qemu-"*) need qemu-nbd "qemu-utils (Fedora: qemu-img)" ;; esac
case " ${servers[*]} " in *" nbdcrypt-"*) nbdcrypt=$(find_nbdcrypt) ;; *) idle=no ;; esac

# ---- the end ----

dir=$(mktemp -d "$parent/nbdcrypt-bench.XXXXXX")
server_pid=

stop_server() {
    [ -n "$server_pid" ] || return 0
    kill -TERM "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=
}

trap 'stop_server; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

# ---- images ----

plain=$dir/plain.raw
luks1=$dir/luks1.img
key=$dir/key

# The keyslots are weak on purpose: what is measured is the data path.
make_images() {
    printf 'a key for measurements' >"$key"
    head -c "$size_bytes" /dev/urandom >"$plain"
    truncate --size=$((size_bytes + (2 << 20))) "$luks1"
    cryptsetup luksFormat --batch-mode --disable-locks --type luks1 --pbkdf-force-iterations 1000 \
        --key-file "$key" "$luks1"
    qemu-img convert -n --object "secret,id=key,file=$key" -f raw "$plain" \
        --target-image-opts "driver=luks,key-secret=key,file.driver=file,file.filename=$luks1"
    case " ${servers[*]} " in *" nbdcrypt-luks2-512 "*) make_luks2 512 ;; esac
    case " ${servers[*]} " in *" nbdcrypt-luks2-4096 "*) make_luks2 4096 ;; esac
}

# make_luks2 SECTOR_BYTES: filled through nbdcrypt, so that no block of it is a hole.
make_luks2() {
    "$nbdcrypt" format --key-file "$key" --sector-size "$1" --size "$size_bytes" \
        --pbkdf pbkdf2 --pbkdf-iterations 1000 "$dir/luks2-$1.img" >/dev/null
    start_server "nbdcrypt-luks2-$1"
    nbdcopy "$plain" "$uri"
    nbdcopy "$uri" - | cmp - "$plain" || die "LUKS2 with $1-byte sectors: read something else than was written"
    stop_server
}

# ---- servers ----

socket=$dir/sock
uri="nbd+unix:///?socket=$socket"

server_command() {
    case $1 in
    nbdkit-file) command=(nbdkit --foreground --unix "$socket" file "$plain") ;;
    nbdkit-luks)
        command=(nbdkit --foreground --unix "$socket" --filter=luks file "$luks1" "passphrase=+$key")
        ;;
    qemu-luks)
        command=(qemu-nbd --socket "$socket" --persistent --shared 16 --object "secret,id=key,file=$key"
            --image-opts "driver=luks,key-secret=key,file.driver=file,file.filename=$luks1,file.aio=io_uring")
        ;;
    nbdcrypt-raw) command=("$nbdcrypt" serve --unix "$socket" --raw "$plain") ;;
    nbdcrypt-luks1) command=("$nbdcrypt" serve --unix "$socket" --key-file "$key" "$luks1") ;;
    nbdcrypt-luks2-*)
        command=("$nbdcrypt" serve --unix "$socket" --key-file "$key" "$dir/${1#nbdcrypt-}.img")
        ;;
    *) die "unknown server '$1'; see $0 --help" ;;
    esac
}

# Returns when the server answers; sets server_pid.
start_server() {
    local command deadline=$((SECONDS + 30))

    server_command "$1"
    rm -f "$socket"
    "${command[@]}" </dev/null >"$dir/server.log" 2>&1 &
    server_pid=$!
    until nbdinfo --size "$uri" >/dev/null 2>&1; do
        kill -0 "$server_pid" 2>/dev/null || die "$1 ended: $(cat "$dir/server.log")"
        [ "$SECONDS" -lt "$deadline" ] || die "$1 does not answer: $(cat "$dir/server.log")"
        sleep 0.05
    done
}

# CPU time of the whole process in ns: all threads, those that have ended and the kernel's io_uring
# workers too (proc(5), stat: utime and stime; the name in parentheses may hold blanks).
ticks_per_second=$(getconf CLK_TCK)
server_cpu_ns() {
    local stat

    stat=$(cat "/proc/$server_pid/stat")
    read -r -a stat <<<"${stat##*) }"
    echo $(((stat[11] + stat[12]) * (1000000000 / ticks_per_second)))
}

# ---- jobs ----

# Each sets `bytes`, `operations` and `elapsed_ns`.
run_fio() {
    local result

    fio --name=job --ioengine=nbd --uri="$uri" --size="$size_bytes" --time_based --runtime="$seconds" \
        --output-format=json --output="$dir/fio.json" "$@" >/dev/null 2>"$dir/fio.log" ||
        die "fio failed: $(cat "$dir/fio.log")"
    result=$(python3 -c '
import json, sys
job = json.load(open(sys.argv[1]))["jobs"][0]
sides = (job["read"], job["write"])
if job["error"]: sys.exit("fio reports error %d" % job["error"])
print(sum(s["io_bytes"] for s in sides), sum(s["total_ios"] for s in sides),
      max(s["runtime"] for s in sides) * 1000000)' "$dir/fio.json") || die "fio failed"
    read -r bytes operations elapsed_ns <<<"$result"
}

run_copy() {
    local start now

    bytes=0 operations=0
    start=$(date +%s%N)
    while
        nbdcopy --connections=4 "$uri" null: || die "nbdcopy failed"
        bytes=$((bytes + size_bytes)) operations=$((operations + size_bytes / 262144))
        now=$(date +%s%N) elapsed_ns=$((now - start))
        [ "$elapsed_ns" -lt $((seconds * 1000000000)) ]
    do :; done
}

run_job() {
    case $1 in
    read) run_fio --rw=read --bs=256k --iodepth=16 ;;
    write) run_fio --rw=write --bs=256k --iodepth=16 ;;
    randread) run_fio --rw=randread --bs=4k --iodepth=32 ;;
    copy) run_copy ;;
    *) die "unknown job '$1'; see $0 --help" ;;
    esac
}

# measure ROUND SERVER JOB
measure() {
    local before after

    before=$(server_cpu_ns)
    run_job "$3"
    after=$(server_cpu_ns)
    echo "$1,$2,$3,$elapsed_ns,$bytes,$operations,$((after - before))" >>"$csv"
}

measure_all() {
    local round server job

    echo "round,server,job,elapsed_ns,bytes,operations,server_cpu_ns" >"$csv"
    for ((round = 1; round <= rounds; round++)); do
        for server in "${servers[@]}"; do
            echo "round $round of $rounds: $server" >&2
            start_server "$server"
            nbdcopy "$uri" null: # into the page cache, and the server's memory into being
            for job in "${jobs[@]}"; do
                measure "$round" "$server" "$job"
            done
            stop_server
        done
    done
}

# Sets idle_kib.
measure_idle() {
    local server='nbdcrypt-raw' candidate

    for candidate in "${servers[@]}"; do
        case $candidate in nbdcrypt-*) server=$candidate ;; esac
    done
    start_server "$server"
    idle_kib=$(python3 "$here/idle-connections.py" "$socket" 1000 "$server_pid") ||
        die "1,000 idle connections could not be made: $(cat "$dir/server.log")"
    stop_server
}

# ---- the machine ----

version_of() {
    command -v "$1" >/dev/null || return 0
    "$@" 2>&1 | head -n 1
}

describe_machine() {
    echo "Machine: $(nproc) CPUs, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)," \
        "$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), Linux $(uname -r)"
    echo "Images:  $size in the page cache of $(stat --file-system --format=%T "$dir"), Unix socket;" \
        "$rounds rounds of $seconds s"
    [ -z "$nbdcrypt" ] || echo "         $(version_of "$nbdcrypt" --version)"
    echo "         $(version_of nbdkit --version); $(version_of qemu-nbd --version)"
    echo "         $(version_of fio --version); $(version_of nbdcopy --version)"
}

make_images
measure_all
if [ "$idle" = yes ]; then
    measure_idle
    summary_options+=(--idle-kib "$idle_kib")
fi
describe_machine
python3 "$here/summarize.py" "${summary_options[@]}" "$csv"
