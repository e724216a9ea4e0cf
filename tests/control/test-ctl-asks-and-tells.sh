#!/bin/bash
# nbdcrypt ctl, verb by verb: what it prints for people and for programs, what it changes, and its exit status.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
requires nbdcopy --version

plain=$(temp_file) image=$(temp_file) raw=$(temp_file)
make_pattern "$plain" 1M
encrypt_by_nbdcrypt "$plain" "$image"
truncate --size=4M "$raw"
control=$(temp_socket)
start_nbdcrypt --control "$control" --key-file "$passphrase" --export "disk=$image,description=A disk" \
    --export "raw=$raw,raw,allow=uid:4294967294" --export "gone=$test_dir/nothing"

ctl() {
    expect_success ctl --socket "$control" "$@"
}

# expect_json EXPRESSION ARGUMENT...: of `json`, what the command prints with --json.
expect_json() {
    local expression=$1

    shift
    ctl --json "$@"
    "$PYTHON" -c "import json, sys; json = json.load(sys.stdin); assert $expression, json" <"$out" ||
        fail "'ctl --json $*': not so: $expression"
}

# ---- looks ----
ctl status
expect_match "$out" '^state +serving$'
expect_match "$out" "^addresses +nbd\+unix:///disk\?socket=$socket\$"
expect_json "json['exports'] == 3 and json['exports_open'] == 2 and json['pid'] == $pid and json['role'] == 'admin'" status
ctl exports
expect_match "$out" '^NAME +STATE +SIZE +LUKS +READ-ONLY +LIMITS +CLIENTS +IMAGE$'
expect_match "$out" "^disk +serving +1.0 MiB +yes +no +- +0 +$image\$"
expect_match "$out" "^gone +missing +- +yes +no +- +0 +$test_dir/nothing\$"
expect_json "[e['name'] for e in json] == ['disk', 'raw', 'gone'] and json[0]['key_source'] == 'key-file'" exports
ctl show disk
expect_match "$out" '^description +A disk$'
expect_match "$out" '^bytes +1048576$'
expect_match "$out" '^backend +file$'
expect_match "$out" '^cipher +aes-xts-plain64$'
expect_match "$out" '^allow +everybody who can connect$'
uuid=$("$NBDCRYPT" info --json "$image" | sed -n 's/.*"uuid": *"\([^"]*\)".*/\1/p')
expect_json "json['luks']['uuid'] == '$uuid' and json['luks']['sector_bytes'] == 4096 and json['luks']['key_bits'] == 512 and \
    json['allow'] == [] and json['clients'] == 0 and json['in_flight'] == 0 and json['figures']['requests'] == 0" show disk
nbdcopy "nbd+unix:///disk?socket=$socket" "$test_dir/copy"
has_gone() {
    ! "$NBDCRYPT" ctl --socket "$control" --json clients | grep -q '"id"'
}
wait_until 20 has_gone
expect_json "json['figures']['read_bytes'] == 1 << 20 and json['figures']['attached'] >= 1 and json['figures']['errors'] == 0" show disk
ctl show disk
expect_match "$out" '^read +1.0 MiB$'
ctl show raw
expect_match "$out" '^allow +uid:4294967294$'
! grep -q '^uuid' "$out" || fail "what does not encrypt has a UUID"
expect_json "'luks' not in json" show raw
expect_json "'backend' not in json and json['state'] == 'missing'" show gone
expect_failure 1 "there is no export 'none'" ctl --socket "$control" show none
! grep -rqF "$(cat "$passphrase")" "$log_dir" || fail "the passphrase was printed"

# ---- changes ----
for level in error warning info debug notice; do
    ctl log "$level"
    expect_json "json['log_level'] == '$level'" status
done
ctl log debug --for 1
expect_json "json['log_level'] == 'debug'" status
is_quiet() {
    "$NBDCRYPT" ctl --socket "$control" --json status | grep -q '"log_level": *"notice"'
}
wait_until 20 is_quiet
expect_failure 2 "'loud' is no level: it is error, warning, notice, info or debug" ctl --socket "$control" log loud

ctl rescan
[ ! -s "$out" ] || fail "nothing has grown"
truncate --size=8M "$raw"
ctl rescan raw
expect_match "$out" '^raw +4.0 MiB +8.0 MiB$'
expect_json "json['grown'] == []" rescan
expect_failure 1 "there is no export 'none'" ctl --socket "$control" rescan none
ctl limits disk
expect_equal "limits" "no limits" "$(cat "$out")"
ctl limits disk limit-iops=500
expect_equal "limits" "limit-iops=500" "$(cat "$out")"
expect_failure 1 "limit-iops: 'many' is not a whole number" ctl --socket "$control" limits disk limit-iops=many
ctl limits disk limit-iops=off
ctl reload
before=$("$NBDCRYPT" ctl --socket "$control" --json status | sed -n 's/.*"revision": *\([0-9]*\).*/\1/p')
expect_json "json['revision'] == $before + 1" reload

# ---- what the log has of it ----
who="client pid [0-9]+ uid $(id -u): control:"
found_in "$server_log" -E "$who SetLogLevel level='debug' seconds=1\$"
found_in "$server_log" -E "$who Rescan name='none' failed: NoSuchExport: .*none"
run_nbdcrypt ctl --socket "$control" add more "$test_dir/nothing" raw=yes allow=uid:0 allow=uid:1
expect_equal "status of a failed add" 1 "$status"
found_in "$server_log" -E "$who AddExport name='more' image='$test_dir/nothing' options=raw allow='uid:0','uid:1'\$"
found_in "$server_log" -E "warning: $who AddExport name='more' .* failed: NotPossible: .*No such file or directory\$"
run_nbdcrypt ctl --socket "$control" add more "nbd://me:word@127.0.0.1/x" raw=yes
expect_equal "status of a password in a URI" 1 "$status"
found_in "$server_log" -F "image='nbd://***@127.0.0.1/x'"
! grep -qF "me:word" "$server_log" || fail "a password is in the log"
# Nor is what a plugin or a cluster takes as one, where the image is named and where it is told what is wrong with it.
run_nbdcrypt ctl --socket "$control" add more "rbd:pool/image?token=me-word&keyring=/nothing" raw=yes
expect_equal "status of a secret of a plugin" 1 "$status"
found_in "$server_log" -F "image='rbd:pool/image?token=***&keyring=/nothing'"
! grep -qF "me-word" "$server_log" || fail "a secret is in the log"

# ---- events ----
"$NBDCRYPT" ctl --socket "$control" events --type client >"$test_dir/clients" 2>"$log_dir/events" &
remember_pid $!
"$NBDCRYPT" ctl --socket "$control" events --json >"$test_dir/all" 2>"$log_dir/events" &
events=$!
remember_pid "$events"
wait_until 20 grep -q events.begin "$test_dir/clients"
wait_until 20 grep -q events.begin "$test_dir/all"
nbdinfo --size "nbd+unix:///disk?socket=$socket" >"$log_dir/nbdinfo"
wait_until 20 grep -qE "client.detached export='disk' peer='client pid [0-9]+ uid $(id -u)'" "$test_dir/clients"
nbdinfo --size "nbd+unix:///raw?socket=$socket" >"$log_dir/nbdinfo" 2>&1 && fail "who may not attach did"
wait_until 20 grep -qE "client.denied export='raw' .* reason='no --allow rule matches'" "$test_dir/clients"
truncate --size=9M "$raw"
ctl rescan
kill -HUP "$pid"
wait_until 20 grep -qF reload.done "$test_dir/all"
expect_match "$test_dir/all" '"type":"export.grown","export":"raw","size_bytes":9437184'
! grep -q reload "$test_dir/clients" || fail "events of another type were told"

# ---- wrong use ----
expect_failure 2 "no verb was given: nbdcrypt ctl --help lists them" ctl
expect_failure 2 "there is no 'ctl stauts': did you mean status?" ctl stauts
expect_failure 2 "too few operands: nbdcrypt ctl show NAME" ctl show
expect_failure 2 "'b' is one operand too many for ctl show" ctl show a b
expect_failure 2 "--type is for ctl events" ctl status --type x
expect_failure 2 "ctl metrics has no JSON: leave out --json, or take ctl exports --json" ctl metrics --json
run_nbdcrypt ctl events --type bogus
expect_equal "status of an unknown type" 2 "$status"
expect_match "$err" "^nbdcrypt: --type 'bogus': there are no such events: they are client.attached, client.detached, .* such as client\$"
expect_failure 2 "--for is for ctl log" ctl status --for 3
expect_failure 2 "--now is for ctl remove" ctl status --now
expect_failure 2 "--now and --drain contradict each other: leave out one of the two" ctl remove x --now --drain 3
for verb in "add more $raw raw=yes" "replace raw $raw" "resume disk"; do
    # shellcheck disable=SC2086 # words
    expect_failure 2 "--key-fd 3: descriptor 3 is not open: give it by 3< FILE" ctl --socket "$control" $verb --key-fd 3 3<&-
done
expect_success ctl --help

# ---- the end ----
ctl drain
wait "$pid" || fail "the server ended with status $?"
wait "$events" || true
[ ! -e "$control" ] || fail "the socket is still there"
expect_failure 3 "no server answers at the control socket '$control': No such file or directory" ctl --socket "$control" status
