#!/bin/bash
# Each kind of thread is made to open, to start a program, to make a socket and a second ring: what it has no business
# with is refused, logged with thread and call, and counted.  With `strict` the server ends.

. "$(dirname "$0")/../support/functions.sh"
unset TEST_SANDBOX

inject=${top_builddir:-$source_dir}/tests/support/inject-call
[ -x "$inject" ] || fail "no $inject: make check builds it"
[ "$(uname -m)" = x86_64 ] || skip "calls are injected on x86-64 only"
[ "$(id -u)" -eq 0 ] || skip "only root may look into a server"
! is_sanitized || skip "sanitizers have no filter of system calls"

sys_read=0 sys_mmap=9 sys_ioctl=16 sys_socket=41 sys_clone=56 sys_fork=57 sys_execve=59 sys_kill=62 sys_ptrace=101
sys_mount=165 sys_openat=257 sys_io_uring_setup=425 sys_clone3=435

# threads: their ids, but for those of workers.
threads() {
    local task

    for task in /proc/"$pid"/task/*; do
        [[ $(cat "$task/comm") == nbdcrypt-[0-9]* ]] || basename "$task"
    done
}

# worker: the id of the first one.
worker() {
    local task

    for task in /proc/"$pid"/task/*; do
        [ "$(cat "$task/comm")" != nbdcrypt-0 ] || basename "$task"
    done
}

# try WHAT EXPECTED THREAD CALL [ARGUMENT...]
try() {
    local what=$1 expected=$2

    shift 2
    expect_equal "thread $1 ($(cat /proc/"$pid"/task/"$1"/comm)): $what" "$expected" "$(timeout 20 "$inject" "$@")"
}

EPERM=-1 ENOSYS=-38
image=$(temp_file)
truncate --size=1M "$image"
start_nbdcrypt --sandbox auto --threads 1 --raw "$image"
nbdinfo --size "$uri" >/dev/null # its layers are there

# The main one, the log, the pools, the one of exports, the worker.
[ "$(threads | wc -l)" -ge 6 ] || fail "there are fewer threads than kinds of them"
for thread in $(threads) $(worker); do
    try execve $EPERM "$thread" $sys_execve @/bin/true 0 0
    try fork $EPERM "$thread" $sys_fork
    try "a process by clone" $EPERM "$thread" $sys_clone 17 0 0 0 0
    try ptrace $EPERM "$thread" $sys_ptrace 16 1 0 0
    try mount $EPERM "$thread" $sys_mount 0 @/tmp @tmpfs 0 0
done
for thread in $(threads); do
    try clone3 $ENOSYS "$thread" $sys_clone3 0 0
done
thread=$(worker)
try "a thread" $EPERM "$thread" $sys_clone3 0 0
try open $EPERM "$thread" $sys_openat -100 @/etc/hostname 0 0
try socket $EPERM "$thread" $sys_socket 1 1 0
try "a second ring" $EPERM "$thread" $sys_io_uring_setup 8 0
try "memory that is code" $EPERM "$thread" $sys_mmap 0 4096 7 34 -1 0
try "a signal to another" $EPERM "$thread" $sys_kill 1 0
try TIOCSTI $EPERM "$thread" $sys_ioctl 0 0x5412 0
try "what it may" 0 "$thread" $sys_read 0 0 0

expect_alive
expect_match "$server_log" "error: sandbox: thread 'nbdcrypt-0' \([0-9]+\): tried the system call openat \(257\), which is not allowed"
expect_match "$server_log" "error: sandbox: thread 'nbdcrypt-export' \([0-9]+\): tried the system call execve \(59\)"
stop_nbdcrypt

start_nbdcrypt --sandbox strict --threads 1 --raw "$image"
nbdinfo --size "$uri" >/dev/null
expect_equal "a violation of strict" ended "$(timeout 20 "$inject" "$(worker)" $sys_openat -100 @/etc/hostname 0 0)"
status=0
wait "$pid" || status=$?
expect_equal "how the server ended" $((128 + 31)) "$status"
expect_match "$server_log" "tried the system call openat \(257\), which is not allowed; nbdcrypt ends"
