#!/bin/bash
# `ctl status` tells what the sandbox is: off, auto, strict, and what a machine lacks.  `strict` does not start there.

. "$(dirname "$0")/../support/functions.sh"
unset TEST_SANDBOX

preload=$(realpath "${top_builddir:-.}/tests/support/no-landlock.so")
[ -e "$preload" ] || fail "tests/support/no-landlock.so was not built"
! is_sanitized || skip "sanitizers have no filter of system calls"

# look [OPTION...]: sets $seen to what `ctl status --json` has of the sandbox, as words.
look() {
    local control=$test_dir/control

    start_nbdcrypt --control "$control" "$@" memory:1M --raw
    "$NBDCRYPT" ctl --socket "$control" status >"$test_dir/text"
    seen=$("$NBDCRYPT" ctl --socket "$control" status --json |
        "$PYTHON" -c 'import json, sys; s = json.load(sys.stdin)["sandbox"]; print(*sorted(k + "=" + str(v) for k, v in s.items() if k not in ("text", "lacks")), s["lacks"], sep=" ")')
    stop_nbdcrypt
}

everything="rings=True system_calls=True violations=0 writes"
landlock=$("$PYTHON" -c 'import ctypes; print(max(0, ctypes.CDLL(None).syscall(444, None, 0, 1)))')
[ "$landlock" -ge 4 ] || skip "this kernel has no Landlock that knows of ports"

look --sandbox off
expect_equal off "files=False landlock=0 mode=off no_new_privs=False ports=False programs=False rings=False system_calls=False violations=0 writes=anywhere " "$seen"
expect_match "$test_dir/text" '^ *sandbox +off$'
look
expect_equal auto "files=False landlock=$landlock mode=auto no_new_privs=True ports=False programs=True $everything=outside_system " "$seen"
expect_match "$test_dir/text" "^ *sandbox +auto, Landlock $landlock, no new privileges, writes to the system, system calls, programs, rings\$"
look --sandbox strict
expect_equal strict "files=True landlock=$landlock mode=strict no_new_privs=True ports=True programs=True $everything=named " "$seen"
look --sandbox-image-paths "$test_dir"
expect_equal "auto with paths" "files=True landlock=$landlock mode=auto no_new_privs=True ports=False programs=True $everything=named " "$seen"

# What the kernel tells of the process.
start_nbdcrypt --raw memory:1M
[ "$(awk '/^Seccomp_filters:/ { print $2 }' /proc/"$pid"/status)" = 1 ] || fail "the main thread has not one filter"
[ "$(awk '/^NoNewPrivs:/ { print $2 }' /proc/"$pid"/status)" = 1 ] || fail "new privileges are possible"
expect_equal "threads with two filters" "$(nproc)" \
    "$(awk '/^Seccomp_filters:/ && $2 == 2' /proc/"$pid"/task/*/status | wc -l)"
stop_nbdcrypt

# ---- a kernel that has less ----

export LD_PRELOAD=$preload
look --sandbox-image-paths "$test_dir"
expect_equal "without Landlock" "files=False landlock=0 mode=auto no_new_privs=True ports=False programs=True $everything=anywhere Landlock (not in this kernel, or not switched on)" "$seen"
expect_match "$server_log" 'nbdcrypt: the sandbox is not whole: this machine lacks Landlock'
export LANDLOCK=1
look --sandbox-image-paths "$test_dir" --sandbox-connect 10809
expect_equal "Landlock 1" "files=True landlock=1 mode=auto no_new_privs=True ports=False programs=True $everything=named ports (Landlock before version 4)" "$seen"
expect_failure 1 "--sandbox strict: this machine lacks ports (Landlock before version 4); --sandbox auto does without" \
    serve --sandbox strict --raw --unix "$(temp_socket)" memory:1M
