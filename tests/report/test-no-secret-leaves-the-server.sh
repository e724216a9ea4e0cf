#!/bin/bash
# Passphrases, volume keys, pre-shared keys and private keys of TLS are in nothing that is said: not in the log with all its levels,
# answers on the control socket, events, reports, metrics, pages, messages of commands, nor in a core dump, as there is none.  They are
# searched for as bytes, hexadecimal, base64 and in other forms, and parts of them as well.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/report-functions.sh"
. "$(dirname "$0")/../support/tls.sh"

requires nbdinfo --version
make_pki
secrets=$(temp_dir) said=$(temp_dir) control=$(temp_socket) http=$(temp_socket) folder=$(temp_dir)
head --bytes=48 /dev/urandom | tr -d '\0\n' | head --bytes=40 >"$secrets/passphrase"
printf 'correct horse battery staple, and more' >"$secrets/typed"
printf 'this one opens nothing at all' >"$secrets/wrong"
head --bytes=64 /dev/urandom >"$secrets/volume-key"
head --bytes=32 /dev/urandom >"$secrets/psk"
openssl pkey -in "$pki/server/server-key.pem" -outform DER -out "$secrets/tls-key" 2>"$log_dir/openssl" || skip "no openssl: $(cat "$log_dir/openssl")"
printf 'somebody:%s\n' "$(od -An -tx1 "$secrets/psk" | tr -d ' \n')" >"$folder/psk"
chmod 600 "$folder/psk" "$secrets"/*
is_silent() { # FILE...
    python "$source_dir/tests/report/no-secret-leaves-the-server.py" "$secrets" "$@" </dev/null
}

# ---- the search itself ----
printf 'key: %s, again' "$(tail --bytes=40 "$secrets/volume-key" | base64 --wrap=0)" >"$said/planted"
! is_silent "$said/planted" 2>"$log_dir/planted" || fail "what was planted was not found"
expect_match "$log_dir/planted" 'volume-key, from byte .*, base64'
rm "$said/planted"

# ---- commands ----
command_says() { # [OPTION...]: whatever comes of it
    run_nbdcrypt "$@"
    { echo "status $status of $*" && cat "$out" "$err"; } >>"$said/commands"
}
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
command_says format "${fast[@]}" --size 4M --key-file "$secrets/passphrase" --volume-key-file "$secrets/volume-key" "$folder/disk"
expect_equal "status of format" 0 "$status"
command_says key add --key-file "$secrets/passphrase" --new-key-file "$secrets/typed" "${fast[@]}" "$folder/disk"
command_says key add --key-file "$secrets/wrong" --new-key-file "$secrets/typed" "${fast[@]}" "$folder/disk"
command_says info "$folder/disk"
command_says info --json "$folder/disk"
command_says tls show "$pki/server"
cp "$folder/disk" "$folder/second"

# ---- a server that says all that it can ----
cat >"$folder/nbdcrypt.conf" <<END
[server]
unix = $test_dir/nbd
listen = 127.0.0.1:0
[tls]
certificates = $pki/server
psk = $folder/psk
mode = on
[metrics]
unix = $http
[control]
socket = $control
[report]
directory = $reports
[export disk]
image = $folder/disk
key-command = sh -c "cat $secrets/passphrase; echo said by the program >&2"
metadata org.example = {"password":"$(cat "$secrets/typed")"}
END
chmod 600 "$folder/nbdcrypt.conf"
ulimit -c unlimited 2>/dev/null || true
cd "$said"
start_nbdcrypt -vv --config "$folder/nbdcrypt.conf"
cd "$test_dir"
ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}
ctl --json events >"$said/events" &
events=$!
remember_pid "$events"
has_begun() { [ -s "$said/events" ]; }
wait_until 20 has_begun
ctl add second "$folder/second" --key-fd 9 9<"$secrets/typed" >>"$said/ctl" 2>&1
for wrong in "$secrets/wrong" "$pki/server/server-key.pem"; do
    ! ctl add third "$folder/disk" force-in-use=yes "key-file=$wrong" >>"$said/ctl" 2>&1 || fail "it opens with $wrong"
done
ctl suspend second >>"$said/ctl" 2>&1
! ctl --key-fd 9 resume second 9<"$secrets/wrong" >>"$said/ctl" 2>&1 || fail "it is resumed by a wrong passphrase"
ctl --key-fd 9 resume second 9<"$secrets/passphrase" >>"$said/ctl" 2>&1
ctl reload >>"$said/ctl" 2>&1
nbdinfo "nbds://somebody@127.0.0.1:$port/disk?tls-psk-file=$folder/psk" >>"$said/nbdinfo" 2>&1
nbdinfo "nbds://localhost:$port/disk?tls-certificates=$pki/client" >>"$said/nbdinfo" 2>&1
printf 'somebody:%s\n' "$(od -An -tx1 "$secrets/volume-key" | tr -d ' \n' | head --bytes=64)" >"$folder/other-psk"
! nbdinfo "nbds://somebody@127.0.0.1:$port/disk?tls-psk-file=$folder/other-psk" >>"$said/nbdinfo" 2>&1 || fail "another key is taken"
for form in "" --json; do
    for verb in status exports clients requests metrics report "show disk" "show second"; do
        # shellcheck disable=SC2086 # words
        ctl $form $verb >"$said/ctl-${form#--}-${verb// /-}" 2>&1 || true
    done
done
for path in / /metrics /status.json /healthz; do
    "$PYTHON" -c 'import sys; from metrics_text import get; print(get(sys.argv[1], sys.argv[2]))' "$http" "$path" >"$said/http-${path//\//}"
done
for kind in asked crash; do
    kill "-$([ $kind = asked ] && echo USR1 || echo ABRT)" "$pid"
    wait_for_report $kind
done
wait "$pid" || true
cp "$server_log" "$said/log"
[ -z "$(find "$said" "$test_dir" -maxdepth 1 -name 'core*')" ] || fail "there is a core dump"
expect_match "$said/log" 'no keyslot opens with this key' # it has told of keys
mapfile -d '' files < <(find "$said" "$reports" -type f -size +0 -print0)
[ "${#files[@]}" -ge 26 ] || fail "there is too little to search through: ${files[*]}"
is_silent "${files[@]}"
