#!/bin/bash
# nbdcrypt-bench speaks TLS to nbdcrypt and nbdkit, with certificates and with pre-shared keys, and what it
# writes is verified; a server that proves nothing to it gets no request.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"
. "$(dirname "$0")/../support/tls.sh"

requires nbdkit memory --dump-plugin
make_pki
make_psk

# drive URI: small and large requests, in one piece and in several, of several connections on several threads.
drive() {
    for simple in "" --simple; do
        expect_bench $simple --json --count 2000 --depth 32 "$1"
        expect_equal "requests" 2000 "$(figure total/requests)"
        expect_bench $simple --json --count 1500 --block 512-64K --write 45 --zero 10 --verify "$1"
        [ "$(figure verify/cells_checked)" -gt 0 ] || fail "nothing was verified"
        expect_bench $simple --json --count 40 --depth 4 --block 4M --write 50 --verify "$1"
        expect_bench $simple --json --passes 2 --pattern sequential --block 100000 --depth 3 "$1"
        expect_equal "bytes of two passes" $((2 * (16777216 / 100000 * 100000))) "$(figure total/bytes)"
    done
    expect_bench --json --count 3000 --block 4K-128K --write 40 --connections 8 --threads 2 --verify "$1"
}

# What a version of TLS changes are the records and who protects them.
for version in 1.2 1.3; do
    start_tls_nbdcrypt --raw --tls-priority "NORMAL:-VERS-ALL:+VERS-TLS$version" memory:16M
    drive "$(x509_uri client)"
    expect_match "$server_log" "TLS$version"
    ! grep -q 'without close_notify' "$server_log" || fail "it vanished without a word: $(cat "$server_log")"
    stop_nbdcrypt
done
start_tls_nbdcrypt --raw --tls-psk "$psk" memory:16M
drive "$(psk_uri alice)"
state=$(temp_file)
expect_bench --count 200 --write 100 --verify --state "$state" "$(psk_uri alice)"
expect_bench --read-back --state "$state" "$(psk_uri alice)"

# Who is not believed, or does not believe us.
expect_bench_failure 1 ".*: TLS with the server failed: .*'alice'.*" "$(psk_uri alice "$wrong_psk")"
expect_bench_failure 1 ".*there is no key of the user 'carol' in it.*" "$(psk_uri carol)"
expect_bench_failure 1 ".*TLS.*" "nbd://localhost:$port/"
stop_nbdcrypt
start_tls_nbdcrypt --raw memory:16M
expect_bench_failure 1 ".*: TLS with the server failed: .*authority.*" "$(x509_uri trusts-other)"
expect_bench_failure 1 ".*: TLS with the server failed: .*client-cert\.pem.*" "$(x509_uri no-certificate)"
stop_nbdcrypt
"$NBDCRYPT" tls init "$test_dir/other" --host other.example --client front >"$log_dir/tls-init"
start_tls_nbdcrypt --raw --tls-certificates "$test_dir/other/server" memory:16M
expect_bench_failure 1 ".*: TLS with the server failed: .*localhost.*" \
    "nbds://localhost:$port/?tls-certificates=$test_dir/other/clients/front"
stop_nbdcrypt
start_nbdcrypt --raw --listen 127.0.0.1:0 memory:16M
expect_bench_failure 1 ".*TLS.*" "nbds://localhost:$port/?tls-certificates=$pki/client"
stop_nbdcrypt

# Others; and a server that is lost in the middle of it.
new_socket
nbdkit --foreground --unix "$socket" --tls=require --tls-psk="$psk" memory 16M </dev/null >"$test_dir/nbdkit" 2>&1 &
nbdkit=$!
remember_pid "$nbdkit"
wait_until 30 test -S "$socket"
drive "nbds+unix://alice@/?socket=$socket&tls-psk-file=$psk"
"$bench" --time 100 "nbds+unix://alice@/?socket=$socket&tls-psk-file=$psk" >"$log_dir/lost" 2>&1 &
lost=$!
remember_pid "$lost"
# Its requests have begun when nbdkit has used CPU time for them.
used() {
    cut -d ' ' -f 14 "/proc/$nbdkit/stat"
}
before=$(used)
is_busy() {
    [ "$(used)" -gt $((before + 5)) ]
}
wait_until 30 is_busy
kill -KILL "$nbdkit"
wait "$nbdkit" 2>>"$log_dir/killed" || true
status=0
wait "$lost" || status=$?
expect_equal "exit status without a server" 1 "$status"
expect_match "$log_dir/lost" '^nbdcrypt-bench: the server closed the connection while [0-9]+ requests were in flight$'
