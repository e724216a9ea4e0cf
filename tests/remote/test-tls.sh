#!/bin/bash
# nbds:// believes only a server whose certificate is of the authority that was named and of the host in the URI, or that knows
# the shared secret; and it does without nothing that comes in clear text.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

requires certtool --version
requires nbdkit memory --dump-plugin

pki=$(temp_dir)
# make_pki DIR HOST: an authority and a server's certificate for HOST.
make_pki() {
    mkdir -p "$1"
    {
        certtool --generate-privkey --outfile "$1/ca-key.pem"
        printf 'cn = "test"\nca\ncert_signing_key\nexpiration_days = 2\n' >"$1/template"
        certtool --generate-self-signed --load-privkey "$1/ca-key.pem" --template "$1/template" \
            --outfile "$1/ca-cert.pem"
        certtool --generate-privkey --outfile "$1/server-key.pem"
        printf 'cn = "%s"\n%s\ntls_www_server\nexpiration_days = 2\n' "$2" "$3" >"$1/template"
        certtool --generate-certificate --load-ca-certificate "$1/ca-cert.pem" --load-ca-privkey "$1/ca-key.pem" \
            --load-privkey "$1/server-key.pem" --template "$1/template" --outfile "$1/server-cert.pem"
    } >>"$log_dir/certtool" 2>&1
}
make_pki "$pki/right" localhost 'dns_name = localhost'
make_pki "$pki/wrong-host" example.org 'dns_name = example.org'

# start_tls DIR...: nbdkit on a free port.
start_tls() {
    local attempt

    for attempt in {1..20}; do
        tls_port=$((20000 + RANDOM % 12000))
        nbdkit --foreground --ipaddr localhost --port "$tls_port" "$@" memory 1M </dev/null \
            >"$test_dir/nbdkit-$attempt" 2>&1 &
        remote_pid=$!
        remember_pid "$remote_pid"
        wait_until 10 eval "(: <>/dev/tcp/localhost/$tls_port) 2>/dev/null || ! kill -0 $remote_pid 2>/dev/null"
        kill -0 "$remote_pid" 2>/dev/null && return
    done
    fail "nbdkit found no port"
}

refused() {
    run_nbdcrypt serve --raw --unix "$(temp_socket)" "$1"
    expect_equal "exit status for $1" 1 "$status"
    expect_match "$err" "$2"
}

start_tls --tls=require --tls-certificates="$pki/right"
start_nbdcrypt --raw "nbds://localhost:$tls_port/?tls-certificates=$pki/right"
plain=$(temp_file)
make_pattern "$plain" 1M
nbdcopy "$plain" "$uri"
expect_image "$plain" "$uri"
stop_nbdcrypt
refused "nbd://localhost:$tls_port/" "TLS"
refused "nbds://localhost:$tls_port/?tls-certificates=$pki/wrong-host" "certificate"
kill -KILL "$remote_pid"
start_tls --tls=require --tls-certificates="$pki/wrong-host"
refused "nbds://localhost:$tls_port/?tls-certificates=$pki/wrong-host" "certificate"
kill -KILL "$remote_pid"
start_tls
refused "nbds://localhost:$tls_port/?tls-certificates=$pki/right" "TLS"
kill -KILL "$remote_pid"

# The shared secret, on a Unix socket.
printf 'alice:0123456789abcdef0123456789abcdef\n' >"$test_dir/psk"
printf 'alice:0123456789abcdef0123456789abcdee\n' >"$test_dir/wrong-psk"
new_remote
nbdkit --foreground --unix "$remote_socket" --tls=require --tls-psk="$test_dir/psk" memory 1M </dev/null \
    >"$test_dir/nbdkit-psk" 2>&1 &
remember_pid $!
wait_until 30 test -S "$remote_socket"
start_nbdcrypt --raw "nbds+unix://alice@/?socket=$remote_socket&tls-psk-file=$test_dir/psk"
nbdcopy "$plain" "$uri"
expect_image "$plain" "$uri"
expect_bench --verify --write 40 --block 512-64K --connections 4 --depth 32 --time 1 "$uri"
stop_nbdcrypt
refused "nbds+unix://alice@/?socket=$remote_socket&tls-psk-file=$test_dir/wrong-psk" "can't be used"

# nbdcrypt behind nbdcrypt, with certificates on both sides: killed and started again under a load that verifies what it reads.
cd "$test_dir"
"$NBDCRYPT" tls init own --host 127.0.0.1 --client front >"$log_dir/tls-init"
disk=$(temp_file)
truncate --size=16M "$disk"
start_nbdcrypt --raw --listen 127.0.0.1:0 --tls-certificates own/server "$disk"
behind=$pid behind_port=$port
for version in 1.2 1.3; do
    start_nbdcrypt --raw --threads 2 "nbds://127.0.0.1:$behind_port/?tls-certificates=own/clients/front"
    front=$pid front_log=$server_log front_uri=$uri
    "$bench" --verify --write 50 --block 512-64K --connections 2 --time 2 "$uri" >"$log_dir/bench" 2>&1 &
    load=$!
    remember_pid "$load"
    # shellcheck disable=SC2034 # it is asked for by eval
    before=$(sha256_of "$disk")
    # shellcheck disable=SC2016 # it is asked for again and again
    wait_until 30 eval '[ "$(sha256_of "$disk")" != "$before" ]'
    kill -KILL "$behind"
    wait "$behind" 2>>"$log_dir/killed" || true
    priority=NORMAL:-VERS-ALL:+VERS-TLS$version
    start_nbdcrypt --verbose --raw --listen "127.0.0.1:$behind_port" --tls-certificates own/server --tls-priority "$priority" "$disk"
    behind=$pid
    wait "$load" || fail "the load did not survive a restart with TLS $version"
    expect_match "$front_log" 'connected again$'
    expect_match "$server_log" "TLS$version"
    python - "$front_uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    client.error_of(CMD_FLUSH)    # what had been answered and not flushed may be lost: that is told once
    equal("the next FLUSH", client.error_of(CMD_FLUSH), 0)
PYTHON_END
    pid=$front
    stop_nbdcrypt
done
pid=$behind
stop_nbdcrypt
start_nbdcrypt --raw --listen 127.0.0.1:0 --tls-certificates own/server "$disk"
mkdir without
cp own/ca-cert.pem without/
refused "nbds://127.0.0.1:$port/?tls-certificates=without" "client-cert.pem"
stop_nbdcrypt
