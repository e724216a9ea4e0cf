#!/bin/bash
# nbdcrypt list shows exports, sizes, blocks, flags, contexts and descriptions of nbdcrypt, nbdkit, qemu-nbd and nbd-server, over
# Unix sockets, TCP and TLS, as a table and as JSON, and attaches none of them.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"
. "$(dirname "$0")/../support/tls.sh"

requires nbdkit memory --dump-plugin
requires qemu-nbd --version
requires nbd-server -V

# listed URI: sets $list, the JSON; the same must be in the table.
listed() {
    list=$test_dir/list
    expect_success list --json "$1"
    cp "$out" "$list"
    expect_success list "$1"
}

# member EXPRESSION: of the JSON, as Python has it.
member() {
    python -c 'import json, sys; list = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$list" "$1"
}

# expect_member EXPRESSION VALUE
expect_member() {
    expect_equal "$1 of $(tr -d '\n' <"$list")" "$2" "$(member "$1")"
}

first=$(temp_file) second=$(temp_file)
truncate -s 1M "$first"
truncate -s 3G "$second"
exports=(--export "one=$first,raw,description=the first" --export "two words=$second,raw,read-only")

# ---- nbdcrypt ----
start_nbdcrypt "${exports[@]}"
listed "nbd+unix:///?socket=$socket"
expect_match "$out" '^EXPORT +SIZE +BLOCKS +FLAGS +CONTEXTS +DESCRIPTION$'
expect_match "$out" '^one +1\.0 MiB +1/4\.0K/32M +flush fua .*multi-conn +base:allocation +the first$'
expect_match "$out" '^two words +3\.0 GiB +1/4\.0K/32M +read-only flush .* base:allocation +-$'
expect_match "$out" '^TLS: +no$'
expect_member '[e["name"] for e in list["exports"]]' "['one', 'two words']"
expect_member '[e["size"] for e in list["exports"]]' '[1048576, 3221225472]'
expect_member 'list["exports"][0]["block-sizes"]' "{'minimum': 1, 'preferred': 4096, 'maximum': 33554432}"
expect_member 'list["replies"], list["tls"], list["list-refused"]' "('extended', None, None)"
listed "nbd+unix:///two%20words?socket=$socket"
expect_member '[e["name"] for e in list["exports"]]' "['two words']"
expect_failure 1 "'nbd+unix:///three?socket=$socket': export 'three': there is no such export (the server says: there is no export 'three')" \
    list "nbd+unix:///three?socket=$socket"
stop_nbdcrypt
! grep -q attached "$server_log" || fail "an export was attached"

# ---- with TLS ----
make_pki
make_psk
start_tls_nbdcrypt --tls-certificates "$pki/server" --tls-psk "$psk" "${exports[@]}"
run_nbdcrypt list "nbd://localhost:$port/"
expect_equal "status without TLS" 1 "$status"
expect_match "$err" "^nbdcrypt: 'nbd://localhost:$port/': it is served with TLS only: nbds:// asks for that"
listed "$(x509_uri client)"
expect_match "$out" '^TLS: +TLS1\.3, '
expect_match "$out" '^Certificate: +.*CN='
expect_match "$out" '^Expires: +20[0-9]{2}-'
expect_member 'len(list["exports"]), "CN=" in list["tls"]["certificate"]["subject"]' '(2, True)'
listed "$(psk_uri alice)"
expect_member 'list["tls"]["session"][:6], list["tls"]["certificate"], len(list["exports"])' "('TLS1.3', None, 2)"
run_nbdcrypt list "$(psk_uri alice "$wrong_psk")"
expect_equal "status with a wrong key" 1 "$status"
expect_failure 2 "'nbds://localhost:$port/': give either tls-certificates=DIR or tls-psk-file=FILE behind the '?': what the server has to prove itself with" \
    list "nbds://localhost:$port/"
stop_nbdcrypt

# ---- nbdkit, qemu-nbd, nbd-server ----
new_remote
start_remote nbdkit --foreground --unix "$remote_socket" memory 16M
listed "nbd+unix:///?socket=$remote_socket"
expect_match "$out" "^'' +16 MiB +- +flush .*base:allocation +-\$"
kill_remote

# start_named COMMAND...: a server that has no export without a name.
start_named() {
    new_remote
    "${@//SOCKET/$remote_socket}" </dev/null >"$log_dir/named" 2>&1 &
    remote_pid=$!
    remember_pid "$remote_pid"
    wait_until 30 "$NBDCRYPT" list "nbd+unix:///?socket=$remote_socket" >"$log_dir/waiting" 2>&1
}

start_named qemu-nbd --persistent --read-only --format raw --export-name disk --description 'of QEMU' --socket SOCKET "$first"
listed "nbd+unix:///?socket=$remote_socket"
expect_match "$out" '^disk +1\.0 MiB +1/.*/32M +read-only .*base:allocation +of QEMU$'
expect_member 'list["exports"][0]["description"]' 'of QEMU'
kill_remote

printf '[generic]\nunixsock = %s\nallowlist = true\n[disk]\nexportname = %s\n' "$test_dir/nbd-server" "$first" >"$test_dir/nbd-server.conf"
new_remote
remote_socket=$test_dir/nbd-server
nbd-server -d -C "$test_dir/nbd-server.conf" </dev/null >"$log_dir/named" 2>&1 &
remote_pid=$!
remember_pid "$remote_pid"
wait_until 30 "$NBDCRYPT" list "nbd+unix:///?socket=$remote_socket" >"$log_dir/waiting" 2>&1
listed "nbd+unix:///?socket=$remote_socket"
# nbd-server 3.24 tells of no size before an export is attached.
expect_match "$out" '^disk +(1\.0 MiB|0 B) '
