#!/bin/bash
# nbdcrypt-bench --client libnbd does the same jobs as its own client: counts, mixes, sizes, verification, passes, TLS; and ends
# with a sentence when the server dies, hangs or fails a request.  Built without libnbd it says so.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"
. "$(dirname "$0")/../support/tls.sh"

run_bench --client libnbd "nbd+unix:///?socket=$test_dir/nobody"
expect_equal "status without a server" 1 "$status"
if grep -q 'was built without libnbd' "$err"; then
    expect_match "$err" '--client libnbd: this nbdcrypt-bench was built without libnbd; install its development files \(Debian package'
    [ "${CI-}" != true ] || fail "CI must install libnbd-dev"
    skip "nbdcrypt-bench was built without libnbd: install libnbd-dev (Fedora: libnbd-devel), and run configure again"
fi
expect_bench_failure 2 "--client: 'nbd' is neither own nor libnbd" --client nbd "nbd+unix:///?socket=$test_dir/nobody"
expect_bench_failure 2 '.*nor --client libnbd' --client libnbd --check-history "nbd+unix:///?socket=$test_dir/nobody"

image=$(temp_file)
truncate -s 16M "$image"
for client in own libnbd; do
    start_nbdcrypt --raw --discard "$image"
    expect_bench --client "$client" --json --count 2000 --depth 32 --write 30 --trim 10 --zero 10 --connections 4 --threads 2 "$uri"
    expect_equal "requests" 2000 "$(figure total/requests)"
    expect_equal "client" "$client" "$(figure job/client)"
    expect_bench --client "$client" --json --count 1500 --block 512-64K --write 45 --zero 10 --verify --state "$test_dir/state" "$uri"
    [ "$(figure verify/cells_checked)" -gt 0 ] || fail "nothing was verified"
    expect_bench --client "$client" --read-back --state "$test_dir/state" --simple "$uri"
    expect_bench --client "$client" --json --passes 2 --pattern sequential --block 100000 --depth 3 "$uri"
    expect_equal "bytes of two passes" $((2 * (16777216 / 100000 * 100000))) "$(figure total/bytes)"
    expect_bench --client "$client" --json --count 8 --depth 2 --block 8M --write 50 --verify "$uri"
    stop_nbdcrypt
    start_nbdcrypt --raw "$image"
    "$bench" --client "$client" --time 60 "$uri" >"$log_dir/bench" 2>&1 &
    remember_pid $!
    wait_until 20 grep -q attached "$server_log"
    kill_nbdcrypt
    wait $! && fail "it does not fail with its server"
    expect_match "$log_dir/bench" '^nbdcrypt-bench: (the server closed the connection while|libnbd: )'
done

# What an earlier run of one client wrote, the other one reads; what is not there, it finds.
start_nbdcrypt --raw "$image"
expect_bench --count 1000 --write 100 --verify --state "$test_dir/state" "$uri"
expect_bench --client libnbd --read-back --state "$test_dir/state" "$uri"
expect_bench --count 1000 --write 100 "$uri"
expect_bench_failure 1 '.*do not hold what was written' --client libnbd --read-back --state "$test_dir/state" "$uri"
stop_nbdcrypt

start_nbdcrypt --raw "$image"
stop_process "$pid"
expect_bench_failure 1 '.*: the server does not answer during the handshake' --client libnbd --timeout 1 "$uri"
kill -CONT "$pid"
stop_nbdcrypt

make_pki
make_psk
start_tls_nbdcrypt --tls-certificates "$pki/server" --tls-psk "$psk" --raw "$image"
expect_bench --client libnbd --count 1000 --write 40 --verify "$(x509_uri client)"
expect_bench --client libnbd --count 1000 --write 40 --verify "$(psk_uri alice)"
expect_bench_failure 1 '.*libnbd: .*' --client libnbd --count 1 "$(psk_uri alice "$wrong_psk")"
stop_nbdcrypt
