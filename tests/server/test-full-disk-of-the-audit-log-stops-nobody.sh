#!/bin/bash
# While the disk of the audit log is full, clients attach and work on, and status, metrics and page tell it; when there is room again
# the log goes on with what waited, and what had no room to wait is told by a record, that `nbdcrypt audit` finds.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/status-page.sh"

[ "$(id -u)" -eq 0 ] || skip "mounting takes root"
small=$(temp_dir) control=$(temp_socket) socket=$(temp_socket)
mkfifo "$test_dir/ready"
unshare --mount true 2>"$log_dir/unshare" || skip "no mounts of one's own here"
# shellcheck disable=SC2016 # it is for the other shell
unshare --mount bash -c 'mount -t tmpfs -o size=64k none "$1" && shift && exec "$@"' bash "$small" \
    "$NBDCRYPT" serve --raw --unix "$socket" --control "$control" --audit-file "$small/audit" \
    "${with_http[@]}" \
    --export "raw=memory:1M" --export "shut=memory:1M,allow=uid:4711" </dev/null >"$test_dir/ready" 2>"$log_dir/server" &
pid=$!
remember_pid "$pid"
wait_for_ready "$test_dir/ready"
inside=/proc/$pid/root$small
dd if=/dev/zero of="$inside/filler" bs=4K 2>"$log_dir/dd" || true

# Each makes two records; what is left of the file's last page is soon used up.
for _ in {1..30}; do
    nbdinfo --size "nbd+unix:///raw?socket=$socket" >"$log_dir/size"
done
wait_until 20 grep -q "the audit log can't be written to '$small/audit': No space left on device" "$log_dir/server"
"$NBDCRYPT" ctl --socket "$control" status >"$test_dir/status"
expect_match "$test_dir/status" "^audit .*, can't be written$"
"$NBDCRYPT" ctl --socket "$control" metrics >"$test_dir/metrics"
expect_match "$test_dir/metrics" '^nbdcrypt_audit_failing 1$'
page_warns "The audit log can't be written" || fail "the page does not say that"

# Of strangers fewer wait than these are; others keep their room.
"$PYTHON" -c '
import sys
from nbd_client import Client
for _ in range(400):
    try:
        Client(sys.argv[1])
    except Exception:
        pass
' "nbd+unix:///shut?socket=$socket" </dev/null
nbdinfo --size "nbd+unix:///raw?socket=$socket" >"$log_dir/size"
"$NBDCRYPT" ctl --socket "$control" metrics >"$test_dir/metrics"
lost=$(sed -n 's/^nbdcrypt_audit_lost_total //p' "$test_dir/metrics")
[ "$lost" -gt 0 ] || fail "nothing was lost"
page_warns "$lost records of the audit log are lost." || fail "the page does not say that"

rm "$inside/filler"
wait_until 20 grep -q '"type":"audit.lost","lost":'"$lost," "$inside/audit"
wait_until 20 grep -q "the audit log can be written to '$small/audit' again" "$log_dir/server"
expect_equal "attached" 31 "$(grep -c '"type":"client.attached"' "$inside/audit")"
expect_equal "detached" 31 "$(grep -c '"type":"client.detached"' "$inside/audit")"
cp "$inside/audit" "$test_dir/audit"
stop_nbdcrypt
run_nbdcrypt audit "$test_dir/audit"
expect_equal "status of the check" 1 "$status"
expect_match "$err" "records [0-9]+ to [0-9]+ are missing: the server could not write them, as this one says"
expect_equal "faults" 1 "$(wc -l <"$err")"
