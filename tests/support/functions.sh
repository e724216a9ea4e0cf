# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is for the tests
# What the end-to-end tests share.  A test is a bash script named by its claim:
#
#     . "$(dirname "$0")/../support/functions.sh"
#     requires cryptsetup --version
#     plain=$(temp_file); image=$(temp_file)
#     make_pattern "$plain" 4M
#     encrypt_to_luks2 "$plain" "$image" --sector-size 4096
#     start_nbdcrypt --key-file "$passphrase" "$image"
#     nbdcopy "$uri" - | cmp - "$plain"
#
# Exit status: 0 passed, 77 skipped (with the reason), anything else failed.  Any command that
# fails ends the test.  Whatever was started here is killed at the end, and everything
# made by temp_file and temp_dir is removed.  Tests may run in parallel and need no root.
#
# Environment: NBDCRYPT, the program (default: the one built in this tree); PYTHON, an interpreter that sees Debian's python3-* packages;
# TEST_TIMEOUT_S (300), and TEST_COMMAND_TIMEOUT_S (60) for one command; TEST_PIPELINES, see on_each_pipeline; KEEP=1 keeps the
# temporary folder;
# TEST_SANDBOX=strict starts servers with --sandbox strict, unless the test says otherwise; TEST_STRICT_FOLDERS="nbd tls" does
# so for the tests of these folders.

set -Eeuo pipefail
export LC_ALL=C

# One that hangs fails.  The program below runs in a process group of its own.
if [ -z "${TEST_HAS_TIMEOUT-}" ]; then
    export TEST_HAS_TIMEOUT=1
    exec timeout --kill-after=10 "${TEST_TIMEOUT_S:-300}" bash "$0" "$@"
fi

test_name=$(basename "$(dirname "$(realpath "$0")")")/$(basename "$0" .sh)
support_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=$(cd "$support_dir/../.." && pwd)
test_dir=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/nbdcrypt-test.XXXXXX")")
log_dir=$test_dir/logs
mkdir "$log_dir"
case " ${TEST_STRICT_FOLDERS-} " in
*" ${test_name%%/*} "*) TEST_SANDBOX=${TEST_SANDBOX:-strict} ;;
esac

# ---- messages and the end ----

failure= # what the end of the log says once more

note() {
    echo "$test_name: $*" >&2
}

# fail MESSAGE...
fail() {
    trap - ERR
    failure=$*
    note "FAILED: $failure"
    exit 1
}

# skip REASON: for what this machine can't do, as opposed to what is not installed.
skip() {
    note "skipped: $*"
    exit 77
}

# requires COMMAND [ARGUMENT...]: skips unless the command succeeds.  Where CI is true,
# a program that is not installed is a failure: CI installs what the tests need.
requires() {
    "$@" </dev/null >"$log_dir/requires" 2>&1 && return
    [ "${CI-}" != true ] || fail "'$*' does not work here; CI must install it"
    skip "needs '$*', which does not work here"
}

requires_python_module() {
    requires "$PYTHON" -c "import $1"
}

started_pids=()

# remember_pid PID: kill it at the end of the test.  For a command in the background that is no function:
# the pid of a function is that of a shell around it.
remember_pid() {
    started_pids+=("$1")
}

kill_started() {
    local started_pid

    for started_pid in "${started_pids[@]+"${started_pids[@]}"}"; do
        # A child that has been waited for is not ours any more.
        if [ "$(ps -o ppid= -p "$started_pid" 2>/dev/null | tr -d ' ')" = "$$" ]; then
            kill -KILL "$started_pid" 2>/dev/null || true
            wait "$started_pid" 2>/dev/null || true
        fi
    done
}

sanitizer_reports='ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:'
sanitizer_reports+='|WARNING: ThreadSanitizer|Assertion .* failed'

# Calls clean_up_test, if the test defines it, once what was started is gone.
at_exit() {
    local status=$? cpu_s

    trap - ERR EXIT
    trap '' TERM INT
    set +e
    kill_started
    times >"$test_dir/times"
    if declare -F clean_up_test >/dev/null; then
        clean_up_test
    fi
    if [ "$status" -eq 0 ] && grep -qaE "$sanitizer_reports" "$log_dir"/* 2>/dev/null; then
        failure="the program's log holds a report of a sanitizer or an assertion"
        note "FAILED: $failure"
        status=1
    fi
    if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
        [ -z "${pipeline-}" ] || note "it was with the pipeline $pipeline"
        show_logs
    fi
    cpu_s=$(tr 'ms\n' '   ' <"$test_dir/times" | awk '{ print int(60 * ($1 + $3 + $5 + $7) + $2 + $4 + $6 + $8 + 0.5) }')
    if [ "${KEEP-}" = 1 ]; then
        note "kept: $test_dir"
    else
        chmod -R u+rwX "$test_dir" && rm -rf "$test_dir"
    fi
    # After all logs: it is the end of a log that is looked at first.
    [ -z "$failure" ] || note "the reason was: $(tail -n 40 <<<"$failure" | tail -c 3000)"
    echo "took $SECONDS s, CPU $cpu_s s"
    exit "$status"
}
trap at_exit EXIT

show_logs() {
    local log

    for log in "$log_dir"/*; do
        [ -s "$log" ] || continue
        note "--- $(basename "$log") (last 40 lines)"
        tail -n 40 "$log" >&2
    done
}

at_error() {
    failure="line $2: '$3' ended with status $1"
    note "FAILED: $failure"
}
trap 'at_error $? $LINENO "$BASH_COMMAND"' ERR

# ---- files ----

temp_file() {
    mktemp "$test_dir/file.XXXXXX"
}

temp_dir() {
    mktemp -d "$test_dir/dir.XXXXXX"
}

# A name for a Unix socket, short enough, that does not exist.
temp_socket() {
    mktemp -u "$test_dir/s.XXXXXX"
}

size_of() {
    stat --dereference --format=%s "$1"
}

sha256_of() {
    sha256sum "$1" | cut -d ' ' -f 1
}

# make_pattern FILE SIZE [SEED]: the same incompressible bytes for the same seed.
make_pattern() {
    "$PYTHON" - "$1" "$(numfmt --from=iec "$2")" "${3:-1}" <<'PYTHON_END'
import random
import sys

file, size_bytes, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
source = random.Random(seed)
with open(file, "wb") as out:
    while size_bytes > 0:
        part = source.randbytes(min(size_bytes, 1 << 20))
        out.write(part)
        size_bytes -= len(part)
PYTHON_END
}

# wait_until SECONDS COMMAND...: polls; fails when the time is over.
wait_until() {
    local deadline=$((SECONDS + $1))

    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "still not so after waiting: $*"
        sleep 0.05
    done
}

# stop_process PID...: and waits until none of its threads runs: the signal is one thread's first, which may wait for a CPU.
stop_process() {
    local stopped

    for stopped; do
        kill -STOP "$stopped"
        wait_until 30 is_stopped "$stopped"
    done
}
is_stopped() {
    ! grep -qs '^State:[[:space:]][^TtZX]' "/proc/$1/task"/*/status
}

# expect_equal WHAT EXPECTED ACTUAL
expect_equal() {
    [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
}

# found_in FILE GREP-ARGUMENT...: a server writes its log a moment later, on a thread of its own.
found_in() {
    local file=$1 deadline=$((SECONDS + 10))

    shift
    until grep -q "$@" "$file"; do
        [[ $file = "${server_log-}" && $SECONDS -lt $deadline ]] || return 1
        sleep 0.05
    done
}

# expect_message FILE LINE: the file holds exactly this line among others.
expect_message() {
    found_in "$1" -xF -- "$2" && return
    note "what came instead:"
    cat "$1" >&2
    fail "no line '$2'"
}

# expect_match FILE EXTENDED-REGEX
expect_match() {
    found_in "$1" -E -- "$2" && return
    note "what came instead:"
    cat "$1" >&2
    fail "nothing matches '$2'"
}

# logged_times TEXT: how often $server_log tells it, with what a full minute held back. The server has ended.
logged_times() {
    grep -F -- "$1" "$server_log" | sed -nE 's/.* ([0-9]+) more like this in the last minute: .*/\1/p; t; s/.*/1/p' |
        awk '{ sum += $1 } END { print sum + 0 }'
}

# complaints: warnings and errors of $server_log.
complaints() {
    grep -E 'Z nbdcrypt\[[0-9]+\] (warning|error): |^nbdcrypt: ' "$server_log" || true
}

# ---- encrypted images that others make ----
# The passphrase is in the file $passphrase.  Few iterations: the images are secrets of nobody.

passphrase=$test_dir/passphrase
printf 'an elephant in a rowing boat' >"$passphrase"
fast_pbkdf=(--pbkdf pbkdf2 --pbkdf-force-iterations 1000)

# In the temporary folder: `reencrypt` makes files in the current one.
cryptsetup_quietly() {
    (cd "$test_dir" && cryptsetup --batch-mode --disable-locks --key-file "$passphrase" "$@") \
        >>"$log_dir/cryptsetup" 2>&1
}

# encrypt_to_luks2 PLAIN IMAGE [CRYPTSETUP-OPTION...]: cryptsetup encrypts in place, with no device-mapper.
# The payload begins at 16 MiB and is exactly as long as PLAIN.
encrypt_to_luks2() {
    local plain_file=$1 image_file=$2

    shift 2
    cp "$plain_file" "$image_file"
    truncate --size=+32M "$image_file"
    cryptsetup_quietly reencrypt --encrypt --type luks2 --reduce-device-size 32M \
        "${fast_pbkdf[@]}" "$@" "$image_file"
    truncate --size=$(((16 << 20) + $(size_of "$plain_file"))) "$image_file"
}

# encrypt_to_luks1 PLAIN IMAGE [CRYPTSETUP-OPTION...]: header by cryptsetup, payload (at 2 MiB) by QEMU, because
# cryptsetup needs device-mapper to fill a LUKS1 volume.
encrypt_to_luks1() {
    local plain_file=$1 image_file=$2

    shift 2
    truncate --size=$(((2 << 20) + $(size_of "$plain_file"))) "$image_file"
    cryptsetup_quietly luksFormat --type luks1 --offset 4096 --pbkdf-force-iterations 1000 "$@" "$image_file"
    qemu_img convert -n -f raw "$plain_file" --target-image-opts "$(qemu_luks "$image_file")"
}

# encrypt_to_qemu_luks PLAIN IMAGE [OPTION,...]: everything by QEMU (LUKS1, payload at 2,068,480 bytes).
# It measures the speed of its key derivation, and where CPU time is counted in ticks it gives up now and then
# ("Unable to get accurate CPU usage"): that is worth another attempt.
encrypt_to_qemu_luks() {
    local attempt

    for attempt in {1..10}; do
        qemu_img convert -f raw -O luks -o "key-secret=secret0,iter-time=10${3:+,$3}" "$1" "$2" && return
        note "qemu-img, attempt $attempt of 10: $(tail -n 1 "$log_dir/qemu-img")"
    done
    return 1
}

# format_luks2 IMAGE SIZE [CRYPTSETUP-OPTION...]: an empty (sparse) volume of this usable size; it reads as noise.
format_luks2() {
    local image_file=$1 size_bytes

    size_bytes=$(numfmt --from=iec "$2")
    shift 2
    truncate --size=0 "$image_file"
    truncate --size=$(((16 << 20) + size_bytes)) "$image_file"
    cryptsetup_quietly luksFormat --type luks2 "${fast_pbkdf[@]}" "$@" "$image_file"
}

# qemu_img COMMAND ARGUMENT...: qemu-img with the passphrase as secret0.
qemu_img() {
    local command=$1

    shift
    qemu-img "$command" --object "secret,id=secret0,file=$passphrase" "$@" \
        >>"$log_dir/qemu-img" 2>&1
}

# The image options by which QEMU opens a LUKS1 image.
qemu_luks() {
    echo "driver=luks,key-secret=secret0,file.driver=file,file.filename=$1"
}

# qemu_adds_key IMAGE OLD NEW: a keyslot more in a LUKS1 image.
qemu_adds_key() {
    qemu_img amend --object "secret,id=new0,file=$3" --object "secret,id=old0,file=$2" -o state=active,new-secret=new0,iter-time=10 \
        --image-opts "driver=luks,key-secret=old0,file.driver=file,file.filename=$1"
}

# cryptsetup_adds_key IMAGE OLD NEW
cryptsetup_adds_key() {
    cryptsetup --batch-mode --disable-locks --key-file "$2" luksAddKey "${fast_pbkdf[@]}" "$1" "$3" >>"$log_dir/cryptsetup" 2>&1
}

# expect_same_for_qemu_luks PLAIN IMAGE: QEMU's own driver reads PLAIN from the LUKS1 image.
expect_same_for_qemu_luks() {
    qemu_img compare --image-opts "driver=raw,file.driver=file,file.filename=$1" "$(qemu_luks "$2")" ||
        fail "QEMU's luks driver reads something else"
}

# ---- python ----

# Debian's interpreter, which sees Debian's packages, before another one in PATH.
if [ -z "${PYTHON-}" ]; then
    PYTHON=python3
    [ ! -x /usr/bin/python3 ] || PYTHON=/usr/bin/python3
fi
export PYTHON PYTHONPATH=$support_dir PYTHONDONTWRITEBYTECODE=1

# python ARGUMENT...: with tests/ on its path; the script is standard input:  python - "$uri" <<'EOF'
python() {
    "$PYTHON" "$@"
}

# ---- the program under test ----

find_nbdcrypt() {
    local candidate

    for candidate in "${NBDCRYPT-}" ./nbdcrypt ../nbdcrypt "$source_dir/nbdcrypt"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            realpath "$candidate"
            return
        fi
    done
    note "no nbdcrypt: build it, or set NBDCRYPT"
    return 1
}
NBDCRYPT=$(find_nbdcrypt) || exit 1
export NBDCRYPT

# For programs that were built with -fsanitize=thread.
export TSAN_OPTIONS=suppressions=$support_dir/tsan-suppressions:${TSAN_OPTIONS-}

server_count=0

# start_nbdcrypt OPTION... IMAGE: runs `nbdcrypt serve` and waits for its ready line.  Unless the options say
# where to listen, on a Unix socket of its own.  Sets $pid, $uris (all), $uri (the first), $socket and
# $port (empty when there is none), $server_log (its stderr), $ready_line.
start_nbdcrypt() {
    local ready own_socket

    case " $* " in
    *" --unix "* | *" --listen "* | *" --unix="* | *" --listen="* | *" -U "* | *" -p "*) ;;
    *)
        own_socket=$(temp_socket)
        set -- --unix "$own_socket" "$@"
        ;;
    esac
    case "${TEST_SANDBOX-} $* " in
    " "* | *" --sandbox"*) ;;
    *nbdkit:*) set -- --sandbox "$TEST_SANDBOX" --sandbox-plugins free "$@" ;; # they are made to start programs
    *) set -- --sandbox "$TEST_SANDBOX" --sandbox-image-paths "$test_dir" "$@" ;;
    esac
    server_count=$((server_count + 1))
    server_log=$log_dir/server-$server_count
    ready=$test_dir/ready-$server_count
    mkfifo "$ready"
    "$NBDCRYPT" serve "$@" </dev/null >"$ready" 2>"$server_log" &
    pid=$!
    remember_pid "$pid"
    wait_for_ready "$ready"
}

# wait_for_ready FIFO: sets what start_nbdcrypt() promises.
wait_for_ready() {
    local one

    # Stays open for as long as the test runs, so that the server may write more.
    exec {ready_fd}<"$1"
    IFS= read -r -t 60 -u "$ready_fd" ready_line || fail "the server did not become ready"
    read -r -a uris <<<"$ready_line"
    uri=${uris[0]} socket='' port=''
    for one in "${uris[@]}"; do
        case $one in
        *\?socket=*) socket=${one#*\?socket=} ;;
        nbd://* | nbds://*) port=${one#*://} port=${port%%/*} port=${port##*:} ;;
        esac
    done
}

# encrypt_by_nbdcrypt PLAIN IMAGE [FORMAT-OPTION...]: everything by us.
encrypt_by_nbdcrypt() {
    local plain_file=$1 image_file=$2

    shift 2
    rm -f "$image_file"
    run_nbdcrypt format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size "$(size_of "$plain_file")" "$@" \
        "$image_file"
    [ "$status" -eq 0 ] || fail "format $* ended with status $status: $(cat "$err")"
    start_nbdcrypt --key-file "$passphrase" "$image_file"
    nbdcopy --flush "$plain_file" "$uri"
    stop_nbdcrypt
}

# on_each_pipeline SIZE FUNCTION [OPTION...]: calls FUNCTION while an export of SIZE is served: a sparse raw file,
# LUKS2 with 512-byte and with 4096-byte sectors.  $pipeline is raw, luks-512 or luks-4096; $image the file.
on_each_pipeline() {
    local size=$1 function=$2

    shift 2
    for pipeline in ${TEST_PIPELINES:-raw luks-512 luks-4096}; do
        image=$(temp_file)
        if [ "$pipeline" = raw ]; then
            truncate --size="$size" "$image"
            start_nbdcrypt --raw "$@" "$image"
        else
            format_luks2 "$image" "$size" --sector-size "${pipeline#luks-}"
            start_nbdcrypt --key-file "$passphrase" "$@" "$image"
        fi
        "$function" # not in a condition: there, bash would ignore what fails inside
        stop_nbdcrypt
        rm "$image"
    done
    pipeline=''
}

# Whether the program was built with a sanitizer, which needs memory and time of its own.
is_sanitized() {
    grep -qaE '__(asan|tsan)_init' "$NBDCRYPT"
}

# sample N <LINES: all of them, or under sanitizers each N-th, from the first: for a table whose rows differ for other
# programs, and are more of the same for the memory of ours.
sample() {
    if is_sanitized; then
        awk -v step="$1" 'NR % step == 1 % step'
    else
        cat
    fi
}

# stop_nbdcrypt: SIGTERM to $pid, and a clean end.
stop_nbdcrypt() {
    local status=0

    kill -TERM "$pid"
    wait "$pid" || status=$?
    expect_equal "exit status after SIGTERM" 0 "$status"
}

# kill_nbdcrypt: as a power failure would, but the kernel's page cache survives.
kill_nbdcrypt() {
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
}

run_as=() # a command in front of the program: setpriv ...

# run_nbdcrypt ARGUMENT...: to its end.  Sets $status, $out and $err (files).
run_nbdcrypt() {
    server_count=$((server_count + 1))
    out=$log_dir/out-$server_count err=$log_dir/err-$server_count status=0
    timeout "${TEST_COMMAND_TIMEOUT_S:-60}" "${run_as[@]+"${run_as[@]}"}" "$NBDCRYPT" "$@" </dev/null >"$out" 2>"$err" || status=$?
}

# expect_success ARGUMENT...: of nbdcrypt; nothing on stderr.
expect_success() {
    run_nbdcrypt "$@"
    [ "$status" -eq 0 ] || fail "'nbdcrypt $*' ended with status $status: $(cat "$err")"
    [ ! -s "$err" ] || fail "'nbdcrypt $*' succeeded, but wrote: $(cat "$err")"
}

# expect_failure STATUS MESSAGE ARGUMENT...: nbdcrypt ends with this status and this one line on stderr, and
# prints nothing on stdout.  "nbdcrypt: " in front of MESSAGE is implied.  What a command that fails has not freed ends
# with it, and looking for that is half of what its run costs under the sanitizers.
expect_failure() {
    local expected_status=$1 expected="nbdcrypt: $2"

    shift 2
    ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS-} run_nbdcrypt "$@"
    [ "$(cat "$err")" = "$expected" ] ||
        fail "'nbdcrypt $*'"$'\n'"  must say: $expected"$'\n'"  and said: $(cat "$err")"
    expect_equal "exit status of 'nbdcrypt $*'" "$expected_status" "$status"
    [ ! -s "$out" ] || fail "'nbdcrypt $*' failed, but printed: $(cat "$out")"
}

# ---- what is asked of a running server ----

# expect_image FILE URI: two independent clients read FILE from it, and its size is FILE's.
expect_image() {
    local copy

    expect_equal "size of $2" "$(size_of "$1")" "$(nbdinfo --size "$2")"
    copy=$(temp_file)
    nbdcopy "$2" "$copy"
    cmp "$1" "$copy" || fail "nbdcopy read something else from $2"
    rm "$copy"
    qemu-img compare -f raw -F raw "$1" "$2" >>"$log_dir/qemu-img" 2>&1 ||
        fail "qemu-img read something else from $2"
}

# expect_alive [URI]: a new client is served.
expect_alive() {
    nbdinfo --size "${1:-$uri}" >"$log_dir/alive" 2>&1 || fail "a new client is not served"
}

resident_kib_of() {
    awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"
}
