#!/bin/bash
# bench/compare.py measures nbdcrypt and others under TLS, with certificates and with pre-shared keys, and counts
# handshakes; nothing is left behind.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/compare-functions.sh"

requires nbdkit --version
requires qemu-nbd --version
requires fio --version
requires nbdcopy --version

dir=$(temp_dir)
csv=$(temp_file)
[ "$(id -u)" -ne 0 ] || chmod a+x "$test_dir" "$dir" # fio runs as nobody then
expect_compare 0 run --nbdcrypt "$NBDCRYPT" --dir "$dir" --size 4M --rounds 1 --warm-up 0.1 --csv "$csv" --no-charts \
    --seconds 0.3 --transport tls-x509,tls-psk --jobs read,copy-write,handshakes,storm --idle 20 \
    --servers nbdkit-file,qemu-raw,nbd-server,nbdcrypt-luks2-4096
expect_match "$err" "left out: nbd-server: it has no tls-x509 transport"
for server in nbdkit-file qemu-raw nbdcrypt-luks2-4096; do
    expect_match "$csv" "^1,$server,read,cache,tls-x509,fio,4194304,262144,0,sequential,1,16,[0-9]+,[1-9][0-9]*,"
    expect_match "$csv" "^1,$server,handshakes,cache,tls-x509,handshakes,4194304,0,0,,16,1,[0-9]+,[1-9][0-9]*,0,"
    expect_match "$csv" "^1,$server,storm,cache,tls-x509,storm,4194304,4096,0,random,1,1,[0-9]+,[1-9][0-9]*,"
    for transport in tls-x509 tls-psk; do
        expect_match "$csv" "^1,$server,copy-write,cache,$transport,nbdcopy,"
    done
done
! grep -q '^1,[^,]*,read,cache,tls-psk' "$csv" || fail "fio has been used with a pre-shared key"
expect_match "$out" '^20 idle connections under TLS, nbdcrypt-luks2-4096: [0-9.]+ KiB of resident memory each$'
expect_match "$out" '^TLS handshakes, 16 at a time, by handshakes$'

expect_equal "what is left in --dir" "" "$(ls -A "$dir")"
! pgrep -f "$dir" >"$log_dir/left" || fail "something is left: $(cat "$log_dir/left")"
