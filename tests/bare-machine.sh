#!/bin/bash
# The README's two commands as a new user meets them: in a fresh Debian that has nothing but git and sudo, as root and
# as an ordinary user, there beside the running demo.  For developers and releases; takes root, and half an hour
# for each user.
#
#     tests/bare-machine.sh [--suite SUITE] [root] [user]
#
# SUITE is Debian's (bookworm).  What is tested is the last commit.  The system is made by debootstrap in a temporary
# folder (TMPDIR, 8 GiB), in namespaces of its own for mounts and processes, and removed at the end.
# Prints the times and the results; exits with 1 if anything failed, or if a test left a process behind.
set -euo pipefail
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

top=$(cd "$(dirname "$0")/.." && pwd)
suite=bookworm
users=()

usage() {
    sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0" | sed '$d'
}

wrong() {
    echo "$0: $*; see $0 --help" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --suite) [ $# -ge 2 ] || wrong "--suite needs a name"; suite=$2; shift ;;
    root | user) users+=("$1") ;;
    *) wrong "unknown argument '$1'" ;;
    esac
    shift
done
[ ${#users[@]} -gt 0 ] || users=(root user)
if [ "$(id -u)" -ne 0 ] || ! command -v debootstrap >/dev/null; then
    echo "$0: takes root and the package debootstrap" >&2
    exit 1
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/nbdcrypt-bare-machine.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT

say() {
    printf '== %s\n' "$*"
}

# In it: the last commit as /nbdcrypt.git, and the package sources of this machine.
make_base() {
    debootstrap --variant=minbase --include=ca-certificates,git,sudo "$suite" "$work/base" \
        >"$work/debootstrap.log" 2>&1 || {
        tail -n 20 "$work/debootstrap.log" >&2
        exit 1
    }
    git clone --quiet --bare --no-local "$top" "$work/base/nbdcrypt.git"
    git config --file "$work/base/etc/gitconfig" --add safe.directory '*'
    cp --dereference /etc/resolv.conf "$work/base/etc/"
    printf '127.0.0.1 localhost\n::1 localhost ip6-localhost\n' >"$work/base/etc/hosts" # the installer's
    [ ! -e /etc/apt/sources.list.d/debian.sources ] ||
        mv "$work/base/etc/apt/sources.list" "$work/base/etc/apt/sources.list.old"
    cp /etc/apt/sources.list.d/debian.sources "$work/base/etc/apt/sources.list.d/" 2>/dev/null || true
    install -m 755 /dev/stdin "$work/base/run-as-new-user" <<'INNER'
#!/bin/bash
# As a new user would, in an empty home: run-as-new-user yes|no (is the demo to run beside the tests?)
set -uo pipefail
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
cd || exit 1
git clone --quiet /nbdcrypt.git nbdcrypt && cd nbdcrypt || exit 1
status=0

# timed NAME COMMAND...
timed() {
    local name=$1 start=$SECONDS result=passed

    shift
    "$@" || { result=FAILED; status=1; }
    echo "-- $name: $result in $((SECONDS - start)) s"
}

# Each command that the demo prints, as it stands there, but those that take a machine or the kernel.
try_what_is_printed() {
    local line command tried=0

    head -c 1M /dev/urandom >FILE
    while IFS= read -r line; do
        command=$(sed -nE 's/^  [a-z A-Z]+   +((nbd(info|copy) |qemu-img |\/)[^()]*).*/\1/p' <<<"$line")
        [ -n "$command" ] || continue
        tried=$((tried + 1))
        bash -c "$command" >/tmp/printed 2>&1 && continue
        grep -q '(package ' <<<"$line" && grep -q 'not found' /tmp/printed && continue
        echo "   printed by the demo, and it failed: $command" && cat /tmp/printed
        return 1
    done <demo.log
    [ "$tried" -ge 4 ] || { echo "   only $tried commands were found in what the demo prints"; return 1; }
    rm -f disk.raw FILE
}

timed "quickstart.sh --self-test" ./quickstart.sh --self-test
demo=
if [ "$1" = yes ]; then
    ./quickstart.sh >demo.log 2>&1 </dev/null &
    demo=$!
    for _ in {1..600}; do
        grep -q '^Ctrl-C ends' demo.log && break
        sleep 0.1
    done
    timed "what quickstart.sh prints" try_what_is_printed
fi
timed "runtests.sh --quick" ./runtests.sh --quick
[ -z "$demo" ] || { kill -TERM "$demo" && wait "$demo"; } || { echo "-- the demo did not end well"; status=1; }
# Everything in this namespace but this script, the shells around it and ps is left behind, if it is not about to end: what
# watches over a server that is gone still looks at how it went.
for _ in {1..100}; do
    left=$(ps -e -o pid=,args= | grep -vE '^ *1 |run-as-new-user|bash -eu -c| ps -e -o|^ *[0-9]+ (sudo|su|env|chroot) |<defunct>|grep -vE')
    [ -n "$left" ] || break
    sleep 0.1
done
[ -z "$left" ] || { printf '%s\n' "-- processes that were left behind:" "$left"; status=1; }
exit "$status"
INNER
}

# enter ROOT COMMAND...: there, with processes of its own, and nothing of this machine is to be seen: who looks for a
# program by its path in another's namespace (bpftrace does) finds it.
enter() {
    # shellcheck disable=SC2016 # for the shell in there
    unshare --mount --pid --fork --kill-child bash -eu -c '
        root=$1; shift
        mount --make-rprivate /
        mount --bind "$root" "$root" # as on a machine, "/" is a mount point
        mount -t proc proc "$root/proc"
        mount --rbind /sys "$root/sys"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
        cd "$root"
        pivot_root . mnt
        cd /
        umount --lazy /mnt
        status=0
        "$@" || status=$? # not exec: this shell reaps what nobody waits for
        exit "$status"' enter "$@"
}

# run USER: the two commands as that one.
run() {
    local user=$1 root=$work/$1 result=0

    cp -a "$work/base" "$root"
    if [ "$user" = root ]; then
        enter "$root" env -i HOME=/root TERM=dumb /run-as-new-user no || result=1
    else
        chroot "$root" useradd --create-home --shell /bin/bash tester
        echo 'tester ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/tester"
        enter "$root" env -i TERM=dumb su - tester -c '/run-as-new-user yes' || result=1
    fi
    rm -rf --one-file-system "$root"
    return "$result"
}

say "a fresh Debian ($suite)"
make_base
failed=0
for user in "${users[@]}"; do
    say "as $user"
    run "$user" || failed=1
done
exit "$failed"
