#!/bin/bash
# Installs what the tests need, builds in a folder of its own and runs every test: plainly, under the
# address and undefined-behaviour sanitizers, the threads under the thread sanitizer, and
# the fuzzers, built by clang, for a bounded time.  The last line is "N passed, N failed, N skipped".
#
#     ./runtests.sh             everything
#     ./runtests.sh --quick     the plain build only
#     ./runtests.sh --keep      keeps ./build-tests, with the logs of all tests
#
# With CI=true a test that is skipped for want of a package counts as failed.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin # what this machine's system has, and nothing of a developer's
cd "$(dirname "$0")"

. tests/support/packages.sh

usage() {
    sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0"
}

quick=no
keep=no
for argument; do
    case $argument in
    --quick) quick=yes ;;
    --keep) keep=yes ;;
    --help | -h) usage; exit 0 ;;
    *) echo "$0: unknown option '$argument'; see $0 --help" >&2; exit 2 ;;
    esac
done

top=$PWD
work=$top/build-tests
TIMEFORMAT=%0R
jobs=$(nproc)
test_jobs=$((jobs + 2)) # a third of their time they wait
passed=0
failed=0
skipped=0
failures= # once more at the end, where they are seen

say() {
    printf '== %s\n' "$*"
}

# fails NAME LOG: counts a failure and shows the end of its log.
fails() {
    failed=$((failed + 1))
    printf '%s\n' "-- FAILED: $1" && tail -n 150 "$2" | sed 's/^/   /'
    failures+=$(printf '%s\n' "-- FAILED: $1" && reason "$2" | sed 's/^/   /')$'\n'
}

# reason LOG: what an end-to-end test says last, or the end of what another program said.
reason() {
    if grep -q ': the reason was: ' "$1"; then
        sed -n '/: the reason was: /,$p' "$1"
    else
        tail -n 20 "$1"
    fi
}

# The sources, without what was built in the tree: the result is that of a fresh clone.
copy_sources() {
    rm -rf "$work"
    mkdir -p "$work/src"
    tar --create --exclude=./.git --exclude='./build*' --exclude=./demo --exclude=./config.status \
        --exclude=./autom4te.cache --exclude='*.o' --exclude='*.a' --exclude='.deps' . |
        tar --extract --directory="$work/src"
}

# build NAME TARGET COMPILER CONFIGURE-ARGUMENT...: the program and what `make TARGET` runs.
build() {
    local name=$1 target=$2 compiler=$3

    shift 3
    ! command -v ccache >/dev/null || compiler="ccache $compiler"
    mkdir -p "$work/$name"
    (
        cd "$work/$name" &&
            { [ -e config.status ] || ../src/configure --enable-werror CC="$compiler" "$@"; } &&
            make -j "$jobs" &&
            make -j "$jobs" "programs-$target"
    ) >"$work/$name/build.log" 2>&1
}

# strict_folders NAME: those whose tests start servers with --sandbox strict, where that program and this machine have all that
# it takes (none with sanitizers).  The others have what users have when they say nothing.
strict_folders() {
    if "$work/$1/nbdcrypt" serve --sandbox strict --raw --unix "$work/probe" --run true memory:1M >"$work/probe.log" 2>&1; then
        echo "bench control libnbd list luks metrics nbd nbdkit rbd remote report server tls"
    fi
}

# make_suite NAME TARGET JOBS: `make TARGET` there, so many tests at once.  What it says is no more than what sum_up reads.
make_suite() {
    TEST_STRICT_FOLDERS=$(strict_folders "$1") \
        make -C "$work/$1" -j "$3" "$2" TEST_SECONDS_MAX=900 >"$work/$1/check.log" 2>&1 || true
}

# run_suite NAME TITLE TARGET: the same, and tells how far it is.
run_suite() {
    local before=$SECONDS

    show_progress "$work/$1" "$(make -C "$work/$1" --no-print-directory -s "count-$3")" &
    make_suite "$1" "$3" "$test_jobs"
    kill -TERM $! 2>/dev/null || true
    wait $! 2>/dev/null || true
    sum_up "$1" "$2" $((SECONDS - before))
}

# sum_up NAME TITLE SECONDS: adds up what the tests there said.
sum_up() {
    local name=$1 title=$2 results result log here_passed=0 here_failed=0

    mapfile -t results < <(cd "$work/$name" && grep -H '^:test-result:' tests/*/*.trs 2>/dev/null)
    for result in "${results[@]}"; do
        log=$work/$name/${result%%.trs:*}.log
        case $result in
        *': PASS') here_passed=$((here_passed + 1)) ;;
        *': SKIP')
            skipped=$((skipped + 1))
            printf '%s\n' "-- skipped: ${result%%.trs:*} ($title): $(skip_reason "$log")"
            ;;
        *)
            here_failed=$((here_failed + 1))
            fails "${result%%.trs:*} ($title)" "$log"
            ;;
        esac
    done
    passed=$((passed + here_passed))
    if [ ${#results[@]} -eq 0 ]; then
        fails "no test ran ($title)" "$work/$name/check.log"
    fi
    say "$title: $here_passed passed, $here_failed failed, in $3 s"
    say "the longest: $(longest "$work/$name/tests")"
}

# show_progress FOLDER TOTAL: how far the tests there are, each second on a terminal, each minute elsewhere.
show_progress() {
    local folder=$1 total=$2 interval=60 line results=() ended=0 bad=0 sleeper=

    [ ! -t 1 ] || interval=1
    trap 'kill "$sleeper"; [ $interval -ne 1 ] || printf "\r%60s\r" ""; exit' TERM
    while kill -0 $$ 2>/dev/null; do # the script, which may have been interrupted
        sleep "$interval" &
        sleeper=$!
        wait "$sleeper" # so that the signal above is taken at once
        mapfile -t results < <(grep -hs '^:test-result:' "$folder"/tests/*/*.trs)
        ended=${#results[@]}
        bad=$(printf '%s\n' "${results[@]}" | grep -c -E ': (FAIL|ERROR)' || true)
        line="   test $ended of $total, $bad failed so far"
        if [ "$interval" -eq 1 ]; then printf '\r%-60s' "$line"; else say "${line#   }"; fi
    done
}

# longest FOLDER: the scripts there that took most seconds.
longest() {
    grep -sH '^took [0-9]* s, CPU [0-9]* s$' "$1"/*/*.log |
        sed 's|.*/\([^/]*/[^/]*\)\.log:took \(.*\) s, CPU \(.*\) s|\2 \3 \1|' | sort -rn |
        awk '{ cpu_s += $2 } NR <= 8 { printf "%s %s s, ", $3, $1 } END { printf "CPU of all %d s\n", cpu_s }'
}

skip_reason() {
    { grep -iE 'skip' "$1" || tail -n 1 "$1"; } | grep -v '^SKIP .* (exit status' | tail -n 1
}

# build_and_test TITLE NAME TARGET COMPILER CONFIGURE-ARGUMENT...
build_and_test() {
    local title=$1

    shift
    say "$title: building"
    if build "$@"; then
        run_suite "$1" "$title" "$2"
    else
        fails "build ($title)" "$work/$1/build.log"
    fi
}

# ends_with_this GROUP: the job in the background, which `set -m` gave a process group.
ends_with_this() {
    group=$1
    trap 'kill -TERM -- "-$group" 2>/dev/null || true' EXIT
}

# test_beside: those of threads, one after the other in the background.  They fill the time in which others wait.
test_beside() {
    say "${threads[0]}: building"
    if build "${threads[@]:1}"; then
        set -m
        { time make_suite threads check-threads 1; } 2>"$work/threads/time" </dev/null &
        set +m
        ends_with_this $!
    else
        fails "build (${threads[0]})" "$work/threads/build.log"
    fi
}

plain=("gcc" plain check gcc)
fuzzers=("clang, fuzzers" clang check-fuzzers clang CFLAGS=-O1 "--enable-sanitizers=address,undefined,fuzzer-no-link")
sanitized=("gcc, address and undefined sanitizers" sanitized check-sanitized
    gcc CFLAGS="-O1 -g1" "--enable-sanitizers=address,undefined")
threads=("gcc, thread sanitizer" threads check-threads gcc CFLAGS="-O1 -g1" --enable-sanitizers=thread)

# build_ahead: all but the plain one, in the time that its tests leave; who tests it then says what failed.  Once they are
# through, what was not begun is built with all CPUs.
build_ahead() {
    jobs=1
    renice -n 19 "$BASHPID" >/dev/null
    build "${fuzzers[@]:1}" || true
    [ -e "$work/tested" ] || build "${sanitized[@]:1}" || true
    [ -e "$work/tested" ] || build "${threads[@]:1}" || true
}

groups=(build demo tests)
[ "${CI-}" != true ] || groups+=(browser) # 120 MB, for one test
packages_install "${groups[@]}" || exit 1
# What tests download, and what is made of it: for all builds, and for the next run.  A change of these files, or of the
# system that programs are taken from, makes it anew.
downloads=${XDG_CACHE_HOME:-${HOME:-$work}/.cache}/nbdcrypt-tests
made_of=$(cat tests/support/{packages,guest-image,guest-files,guest-init,ceph-programs,newer-programs,debian-root}.sh /var/lib/dpkg/status 2>/dev/null |
    sha256sum | cut -c 1-16)
mkdir -p "$downloads"
find "$downloads" -mindepth 1 -maxdepth 1 ! -name "$made_of" -mtime +7 -exec rm -rf {} +
export GUEST_CACHE=$downloads/$made_of/guest
export CEPH_CACHE=$downloads/$made_of/ceph
export VARLINKCTL_CACHE=$downloads/$made_of/varlinkctl
export NEWER_NBD_CACHE=$downloads/$made_of/newer-nbd
export PROMTOOL_CACHE=$downloads/$made_of/promtool
export DEBIAN_CACHE=$downloads/$made_of/debian
export CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=1 # where it is installed

say "copying the sources to $work/src"
copy_sources
(cd "$work/src" && ./bootstrap) >"$work/bootstrap.log" 2>&1 || {
    fails "bootstrap" "$work/bootstrap.log"
    echo "$passed passed, $failed failed, $skipped skipped"
    exit 1
}

if [ "$quick" = yes ]; then
    build_and_test "${plain[@]}"
else
    set -m
    build_ahead </dev/null &
    set +m
    ends_with_this $!
    build_and_test "${plain[@]}"
    touch "$work/tested"
    wait "$group" || true
    trap - EXIT
    build_and_test "${fuzzers[@]}"
    group=
    test_beside
    build_and_test "${sanitized[@]}"
    if [ -n "$group" ]; then
        wait "$group" || true
        trap - EXIT
        sum_up threads "${threads[0]}" "$(tail -n 1 "$work/threads/time")"
    fi
fi

if [ "$keep" = yes ]; then
    say "kept: $work"
else
    rm -rf "$work"
fi
printf '%s' "$failures"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
