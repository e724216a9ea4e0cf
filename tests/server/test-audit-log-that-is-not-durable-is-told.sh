#!/bin/bash
# Storage tells once that it could not keep records: they stay told, by the log, status, a metric and a record that `nbdcrypt
# audit` finds, also when a later sync succeeds.  Storage that does not answer counts as failing.  With --audit-required clients
# and new exports are refused meanwhile, those who are attached work on, and all is as before when it is mended.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
preload=$(realpath "${top_builddir:-.}/tests/support/bad-sync.so")
[ -e "$preload" ] || fail "tests/support/bad-sync.so was not built"
audit=$(temp_dir)/audit control=$(temp_socket)
export BAD_SYNC=$audit
# A sanitizer's library wants to be the first; after this one it works as well.
export ASAN_OPTIONS=verify_asan_link_order=0:${ASAN_OPTIONS-}
program=$NBDCRYPT
printf '#!/bin/sh\nLD_PRELOAD=%s exec "%s" "$@"\n' "$preload" "$NBDCRYPT" >"$test_dir/nbdcrypt"
chmod +x "$test_dir/nbdcrypt"

ctl() {
    "$program" ctl --socket "$control" "$@"
}

start() {
    NBDCRYPT=$test_dir/nbdcrypt start_nbdcrypt --raw --control "$control" --audit-file "$audit" --export raw=memory:1M "$@"
}

metric() {
    ctl metrics | sed -n "s/^$1 //p"
}

is() {
    [ "$(metric "$1")" = "$2" ]
}

said() {
    grep -q "$1" "$server_log"
}

attach() {
    nbdinfo --size "$uri" >"$log_dir/attach" 2>&1
}

# ---- it is told ----

start
wait_until 20 is nbdcrypt_audit_records_total 1
touch "$audit.fails"
attach
wait_until 20 is nbdcrypt_audit_failing 1
wait_until 20 said "audit file '$audit': from record 2 on it could not be made durable, and a loss of power may take them: Input/output error"
rm "$audit.fails"
attach
wait_until 20 is nbdcrypt_audit_failing 0
wait_until 20 said "the audit log can be written to '$audit' again"
doubtful=$(metric nbdcrypt_audit_doubtful_total)
[ "$doubtful" -ge 2 ] || fail "no record is in doubt"
ctl status >"$test_dir/status"
expect_match "$test_dir/status" "^audit .* 0 lost, $doubtful not durable$"
stop_nbdcrypt
grep -q '"type":"audit.doubtful","from":2,"to":[0-9]*,"reason":"Input/output error"' "$audit" || fail "no record tells of it"
run_nbdcrypt audit "$audit"
expect_equal "status of the check" 1 "$status"
expect_match "$err" "records 2 to [0-9]+ were written and not made durable, as this one says"

# ---- and nothing else happens ----

# A disk that always fails is not written to over and over.
start
touch "$audit.fails"
attach
wait_until 20 is nbdcrypt_audit_failing 1
before=$(metric nbdcrypt_audit_records_total)
attach
wait_until 20 [ "$(metric nbdcrypt_audit_records_total)" -gt "$before" ]
[ "$(metric nbdcrypt_audit_records_total)" -le $((before + 8)) ] || fail "it writes without end"
[ "$(grep -c 'could not be made durable' "$server_log")" -eq 1 ] || fail "it is told over and over"
rm "$audit.fails"
stop_nbdcrypt

# ---- a new file that can't be made is made later ----

start
mv "$audit" "$audit.1"
mkdir "$audit"
ctl reload >"$log_dir/reload"
wait_until 20 said "audit file '$audit': it can't be opened: .*; records go on into the file that had this name before"
attach
wait_until 20 grep -q '"client.attached"' "$audit.1"
rmdir "$audit"
wait_until 20 [ -f "$audit" ]
wait_until 20 grep -q '"audit.continue"' "$audit"
stop_nbdcrypt
run_nbdcrypt audit --before "$audit.1" "$audit"
! grep -q "missing, or" "$err" || fail "records are missing between the two"

# ---- it is required ----

expect_failure 2 "--audit-required goes with --audit-file FILE" serve --audit-required --raw memory:1M
start --audit-required
mkfifo "$test_dir/go"
"$PYTHON" -c '
import sys
from nbd_client import Client
with Client(sys.argv[1]) as client:
    print("attached", flush=True)
    open(sys.argv[2]).read()
    client.write(0, b"x" * 512)
    print("written", flush=True)
' "$uri" "$test_dir/go" </dev/null >"$test_dir/client" 2>"$log_dir/client" &
remember_pid $!
wait_until 20 grep -q attached "$test_dir/client"

touch "$audit.fails"
attach
wait_until 20 is nbdcrypt_audit_failing 1
! attach || fail "a client was let in that could not be recorded"
wait_until 20 said "GO refused: who attaches an export is recorded, and that can't be done at the moment"
run_nbdcrypt ctl --socket "$control" add more memory:1M raw=yes
expect_match "$err" "changes are recorded, and that can't be done at the moment"
: >"$test_dir/go"
wait_until 20 grep -q written "$test_dir/client"
[ "$(metric 'nbdcrypt_connections_rejected_total{reason="audit"}')" -ge 1 ] || fail "it was not counted"
rm "$audit.fails"
wait_until 20 attach
ctl add more memory:1M raw=yes

touch "$audit.hangs"
attach
wait_until 20 is nbdcrypt_audit_failing 1
! attach || fail "a client was let in while the storage did not answer"
wait_until 20 said "its storage does not answer"
rm "$audit.hangs"
wait_until 20 attach
is nbdcrypt_audit_lost_total 0 || fail "records were lost"
stop_nbdcrypt
