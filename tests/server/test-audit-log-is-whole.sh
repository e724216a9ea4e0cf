#!/bin/bash
# With --audit-file each attach, detach, denial, use of a key and change is a numbered record that tells who did what, and no
# secret; `nbdcrypt audit` finds what is missing, changed or cut off; a new file goes on where the old one ended; a full disk
# holds up no client, and what was lost is told; strangers can't flood it; nobody else's file is written to.
. "$(dirname "$0")/../support/functions.sh"

folder=$(temp_dir)
audit=$folder/audit control=$(temp_socket) disk=$(temp_file)
format_luks2 "$disk" 1M

ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}

start() {
    start_nbdcrypt --control "$control" --audit-file "$audit" --export "raw=memory:1M,raw" \
        --export "shut=memory:1M,raw,allow=uid:4711"
}

# has PATTERN: a record of the file is like that.
has() {
    grep -qE "$1" "$audit"
}

# expect_fault SENTENCE FILE [OPTION...]: it is found.
expect_fault() {
    local sentence=$1

    shift
    run_nbdcrypt audit "$@"
    expect_equal "status of audit $*" 1 "$status"
    expect_match "$err" "$sentence"
}

# ---- who did what ----

start
expect_equal "mode of the file" 600 "$(stat -c %a "$audit")"
nbdinfo "$uri" >"$log_dir/info"
! nbdinfo "nbd+unix:///shut?socket=$socket" >"$log_dir/info" 2>&1 || fail "it was let in"
ctl add disk "$disk" "key-file=$passphrase"
! ctl add disk2 "$test_dir/absent" raw=yes 2>"$log_dir/absent" || fail "it was added"
wait_until 20 has '"control.change","result":"failed","export":"disk2"'
uid=$(id -u)
has "\"type\":\"client.attached\",\"result\":\"done\",\"export\":\"raw\",\"uid\":$uid,\"pid\":[0-9]+,\"client\":1,\"peer\":\"client pid" ||
    fail "no record of who attached"
has '"type":"client.detached","result":"done","export":"raw"' || fail "no record of who left"
has '"type":"client.denied","result":"refused","export":"shut".*"reason":"no --allow rule matches"' || fail "no denial"
has "\"type\":\"key.used\",\"result\":\"done\",\"reason\":\"image '$disk' by key-file" || fail "no record of the key"
has "\"type\":\"control.change\",\"result\":\"asked\",\"export\":\"disk\",\"uid\":$uid.*\"what\":\"AddExport" || fail "no record of the wish"
has '"type":"control.change","result":"done","export":"disk"' || fail "no record of the change"
has '"type":"export.added","result":"done","export":"disk"' || fail "no record of the export"
! grep -qFf "$passphrase" "$audit" || fail "the passphrase is in it"
expect_equal "records that are JSON" "$(wc -l <"$audit")" "$("$PYTHON" -c '
import json, sys
print(len([json.loads(line) for line in sys.stdin]))' <"$audit")"
ctl status >"$test_dir/status"
expect_match "$test_dir/status" "^audit +$audit, [0-9]+ records, 0 lost$"
ctl metrics >"$test_dir/metrics"
expect_match "$test_dir/metrics" '^nbdcrypt_audit_lost_total 0$'

# ---- another server ----

expect_failure 1 "audit file '$audit': another server writes to it" serve --raw --unix "$(temp_socket)" --audit-file "$audit" memory:1M

# ---- a new file ----

mv "$audit" "$folder/audit.1"
ctl reload
nbdinfo "$uri" >"$log_dir/info"
stop_nbdcrypt
expect_success audit "$folder/audit.1"
expect_success audit "$audit"
expect_success audit --before "$folder/audit.1" "$audit"
expect_match "$out" "none is missing"
grep -q audit.continue "$audit" || fail "the new file does not say that it goes on"
start
stop_nbdcrypt
expect_success audit --before "$folder/audit.1" "$audit"
last=$(tail -n 1 "$audit" | sed 's/{"seq":\([0-9]*\),.*/\1/')
expect_success audit --last "$last" "$audit"

# ---- what is wrong is found ----

expect_fault "records are missing at its end: the last one is $last, not $((last + 1))" "$audit" --last $((last + 1))
copy=$test_dir/copy
sed 2d "$folder/audit.1" >"$copy"
expect_fault "copy:2: record 2 is missing" "$copy"
sed 2,3d "$folder/audit.1" >"$copy"
expect_fault "copy:2: records 2 to 3 are missing" "$copy"
sed '3s/client/Client/' "$folder/audit.1" >"$copy"
expect_fault "copy:3: record 3 was changed, or the one before it" "$copy"
head -c -20 "$folder/audit.1" >"$copy"
expect_fault "this is no whole record: it was cut off, or changed" "$copy"
sed 1d "$folder/audit.1" >"$copy"
expect_fault "copy:1: the file begins with record 2, and what was before it is missing" "$copy"
sed -n '1,3p;3p' "$folder/audit.1" >"$copy"
expect_fault "copy:4: record 3 stands behind record 3" "$copy"
: >"$copy"
expect_fault "there is no record in it" "$copy"
start
kill_nbdcrypt
start
stop_nbdcrypt
expect_fault "the server began anew and had not ended" "$audit"

# ---- strangers ----

rm "$audit"
start
"$PYTHON" -c '
import sys
from nbd_client import Client
for _ in range(150):
    try:
        Client(sys.argv[1])
    except Exception:
        pass
' "nbd+unix:///shut?socket=$socket" </dev/null
nbdinfo "$uri" >"$log_dir/info"
wait_until 20 has '"client.attached".*"export":"raw"'
stop_nbdcrypt
[ "$(grep -c '"client.denied".*"reason"' "$audit")" -le 50 ] || fail "strangers can write as much as they want"
has '"type":"client.denied","result":"refused","more":[0-9]+' || fail "nothing tells that there were more"
expect_success audit "$audit"

# ---- files that are refused ----

refused() {
    local why=$1

    run_nbdcrypt serve --raw --unix "$(temp_socket)" --audit-file "$copy" memory:1M
    expect_equal "status with $why" 1 "$status"
    expect_match "$err" "audit file '$copy': .*$why"
}
chmod 0644 "$copy"
refused "others may read or write it: chmod 0600 it"
rm "$copy"
ln -s "$audit" "$copy"
refused "it can't be opened"
rm "$copy"
mkfifo -m 0600 "$copy"
refused "it is no regular file"
