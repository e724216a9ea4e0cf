#!/bin/bash
# Storage that fails at the N-th write or flush of a key change, once or for ever, for every N: when the command fails the
# old key opens the volume, when it succeeds the new one does, and what it says of the keys is so.
. "$(dirname "$0")/../support/functions.sh"

requires nbdkit python --dump-plugin
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
first=$test_dir/first second=$test_dir/second state=$test_dir/state
printf first >"$first" && printf second >"$second"

# $state: "N once" or "N on"; a call that fails has done nothing.
cat >"$test_dir/plugin.py" <<'END'
import errno
import os

import nbdkit

API_VERSION = 2


def config(key, value):
    globals()[key] = value


def open(readonly):
    return os.open(image, os.O_RDWR)


def close(h):
    os.close(h)


def get_size(h):
    return os.fstat(h).st_size


def pread(h, buf, offset, flags):
    buf[:] = os.pread(h, len(buf), offset)


def fail():
    fd = os.open(state, os.O_RDWR)
    number, how = os.read(fd, 100).decode().split()
    left = int(number) - 1
    if left > 0 or how == "once":
        os.pwrite(fd, f"{left} {how}    ".encode(), 0)
    os.close(fd)
    if left == 0 or (left < 0 and how == "on"):
        nbdkit.set_error(errno.EIO)
        raise OSError(errno.EIO, "it breaks")


def pwrite(h, buf, offset, flags):
    fail()
    os.pwrite(h, buf, offset)


def flush(h, flags):
    fail()
END

# opens KEY: what is stored, past the storage that fails.
opens() {
    "$NBDCRYPT" key test --key-file "$1" "$image" >"$log_dir/test" 2>&1
}

# check N HOW: of what the last command has said and done.
check() {
    local old=no new=no said

    opens "$first" && old=yes
    opens "$second" && new=yes
    case $status in
    0) [ "$new$old" = yesno ] || fail "$type, $*: the new key is not in force: $(cat "$err")" ;;
    1) [ "$old" = yes ] || grep -q 'it is not certain what' "$err" ||
        fail "$type, $*: the old key is gone: $(cat "$err")" ;;
    *) fail "$type, $*: status $status" ;;
    esac
    [ "$old$new" != nono ] || fail "$type, $*: no key opens it: $(cat "$err")"
    [ -s "$err" ] || return 0
    said=$(sed -n 's/.*; now the old key \(.*\) it, the new key \(.*\)/\1 \2/p' "$err" | head -n 1)
    case $old$new in
    yesno) expect_equal "what $type, $* says" "opens does not" "$said" ;;
    yesyes) expect_equal "what $type, $* says" "opens opens it" "$said" ;;
    noyes) expect_equal "what $type, $* says" "does not open opens it" "$said" ;;
    esac
}

for type in luks1 luks2; do
    good=$test_dir/$type.image image=$test_dir/image
    expect_success format --type "$type" --key-file "$first" --size 1M "${fast[@]}" "$good"
    cp "$good" "$image"
    socket=$(temp_socket)
    nbdkit --foreground --unix "$socket" python "$test_dir/plugin.py" image="$image" state="$state" >"$log_dir/nbdkit" 2>&1 &
    remember_pid $!
    wait_until 20 test -S "$socket"
    for how in once on; do
        number=0 failures=0 warnings=0
        while :; do
            number=$((number + 1))
            cp --no-target-directory "$good" "$image"
            echo "$number $how    " >"$state"
            run_nbdcrypt key change --key-file "$first" --new-key-file "$second" "${fast[@]}" "nbd+unix:///?socket=$socket"
            check "$number" "$how"
            [ "$status" -eq 0 ] || failures=$((failures + 1))
            if [ "$status" -eq 0 ]; then
                [ -s "$err" ] || break
                warnings=$((warnings + 1))
            fi
        done
        note "$type, $how: $failures failures, $warnings warnings"
        [ "$failures" -ge 10 ] || fail "the storage did not fail often enough"
    done
done
