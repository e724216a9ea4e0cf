#!/bin/bash
# Each signal of a fault, on each kind of thread, ends the server by that signal, and leaves a report that names it, the thread and
# its functions.  So does a stack that is full.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/report-functions.sh"

is_sanitized && skip "a sanitizer takes these signals itself"
ulimit -c 0
image=$(temp_file)
truncate --size=1M "$image"

# crash THREAD TROUBLE SIGNAL
crash() {
    local status=0

    reports=$(temp_dir)/reports
    LD_PRELOAD=$trouble start_nbdcrypt --threads 1 --raw --report-directory "$reports" --hung-request 0 "$image"
    make_trouble "$1" "$2"
    wait "$pid" || status=$?
    expect_equal "status after $2 in $1" "$((128 + $(kill -l "$3")))" "$status"
    wait_for_report crash
    expect_in_report "^reason = signal [0-9]+ \($3\).* in thread .*\([0-9]+\)\$"
    expect_in_report 'function = '
    expect_in_report '^version = '
    expect_in_report 'text = listening: '
    expect_same_facts "$report" "$json"
    # Those who did not crash are there as well.
    expect_in_report 'name = nbdcrypt-guard '
    expect_in_report '^=+ +Messages'
}

crash main null-pointer SEGV
crash main overflow SEGV
expect_in_report 'module = trouble.so'
for what in null-pointer:SEGV overflow:SEGV no-file:BUS no-instruction:ILL division:FPE abort:ABRT; do
    crash nbdcrypt-0 "${what%:*}" "${what#*:}"
done
for thread in nbdcrypt-jobs nbdcrypt-log nbdcrypt-export nbdcrypt-report nbdcrypt-guard; do
    crash "$thread" null-pointer SEGV
    expect_in_report "^reason = signal 11 \(SEGV\) at address 0x0000000000000000, in thread $thread "
done

# One that somebody sends, as a service manager does whose watchdog was not answered.
reports=$(temp_dir)/reports
start_nbdcrypt --raw --report-directory "$reports" "$image"
kill -ABRT "$pid"
status=0
wait "$pid" || status=$?
expect_equal "status after SIGABRT" "$((128 + $(kill -l ABRT)))" "$status"
wait_for_report crash
expect_in_report "^reason = signal 6 \(ABRT\) sent by process $$, in thread "

# Without a folder the report is on standard error.
LD_PRELOAD=$trouble start_nbdcrypt --raw "$image"
make_trouble nbdcrypt-0 null-pointer
wait "$pid" || true
expect_in_report '^reason = signal 11 \(SEGV\) at address ' "$server_log"
