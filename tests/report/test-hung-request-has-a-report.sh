#!/bin/bash
# A request that storage does not answer has a report, which names its export, its client and how old it is: one, however many
# wait and however long it lasts, and another one when it hangs again later.  The report has the export's metadata and the
# configuration in force.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/status-page.sh"
. "$(dirname "$0")/../support/report-functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires nbdkit memory --version
requires qemu-io --version
new_remote
start_remote nbdkit --foreground --unix "$remote_socket" memory 4M
control=$(temp_socket)
start_nbdcrypt --raw --hung-request 1 --stall-report 0 --threads 2 --report-directory "$reports" --control "$control" "${with_http[@]}" \
    --export "far=$remote,description=a disk"
printf '{"org":"example"}' >"$test_dir/metadata"
"$NBDCRYPT" ctl --socket "$control" metadata set far org.example "$test_dir/metadata"
"$NBDCRYPT" ctl --socket "$control" events --type hung-request >"$test_dir/events" 2>"$log_dir/events" &
remember_pid $!
wait_until 20 grep -q events.begin "$test_dir/events"
events() {
    [ "$(grep -cE "hung-request export='far' peer='client .*' reason=.*write [0-9]+\\+4096 of client 1 " "$test_dir/events")" -eq "$1" ]
}

mkfifo "$test_dir/commands"
qemu-io --format raw "nbd+unix:///far?socket=$socket" <"$test_dir/commands" >"$test_dir/answers" 2>&1 &
remember_pid $!
exec 7>"$test_dir/commands"
# An empty line has qemu-io look again at what it has read beyond a line.
answered() {
    echo >&7
    [ "$(grep -c 'wrote 4096' "$test_dir/answers")" -ge "$1" ]
}
echo 'write 0 4k' >&7
wait_until 20 answered 1

stop_storage() {
    stop_process "$remote_pid"
    wait_until 20 is_stopped
}
is_stopped() {
    ! grep -h '^State:' "/proc/$remote_pid/task/"*/status | grep -qv 'T (stopped)'
}
stop_storage
in_flight() {
    echo >&7
    [ "$("$NBDCRYPT" ctl --socket "$control" requests | grep -c ' far ')" -eq "$1" ]
}
for n in 1 2 3; do # one by one: qemu-io takes a line when there is something to read
    echo "aio_write ${n}M 4k" >&7
    wait_until 20 in_flight "$n"
done
wait_for_report hung
wait_until 20 events 1
expect_in_report "^reason = export 'far': write [0-9]+\+4096 of client 1 has been in phase backend for [0-9]+ s\$"
expect_in_report '^in_flight = [1-3]$'
expect_in_report '  export = far  client = 1  operation = write  offset_bytes = 1048576  length_bytes = 4096  phase = backend  age_us = [0-9]{7}'
expect_in_report '  namespace = org.example  bytes = 17  value = \{"org":"example"\}'
expect_in_report '^hung-request = 1$'
expect_in_report 'description = a disk'
expect_in_report 'stage = nbd\+unix .* lost = no  given_up = no .* retry_ms = [0-9]+'
expect_same_facts "$report" "$json"

# It lasts: asked for meanwhile, to see that there is none of its own accord.
for n in 1 2 3; do
    kill -USR1 "$pid"
    wait_for_report asked "$n"
done
expect_equal "reports of storage that hangs" 1 "$(reports_of hung | wc -l)"
wait_until 20 page_warns "Storage has not answered a request of export 'far' for "
kill -CONT "$remote_pid"
echo aio_flush >&7
wait_until 20 answered 4
echo 'write 0 4k' >&7
wait_until 20 answered 5
# A look finds that nothing hangs any more.
kill -USR1 "$pid"
wait_for_report asked 4
stop_storage
echo 'aio_write 64k 4k' >&7
wait_until 20 in_flight 1
wait_for_report hung 2
wait_until 20 events 2
expect_in_report '^in_flight = 1$'
counted() {
    local metrics

    metrics=$("$NBDCRYPT" ctl --socket "$control" metrics)
    grep -qxF 'nbdcrypt_reports_total{reason="hung"} 2' <<<"$metrics" &&
        grep -qxF 'nbdcrypt_reports_total{reason="asked"} 4' <<<"$metrics" &&
        grep -qxF 'nbdcrypt_reports_total{reason="stall"} 0' <<<"$metrics"
}
wait_until 20 counted
kill -CONT "$remote_pid"
