#!/bin/bash
# Whatever protects the records of TLS, the transport's unit tests hold, clients get their data, and the log names it;
# NBDCRYPT_GCM forces one.  Clients follow when the server changes its keys, which it does here every 60 records.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires nbdcopy --version

make_psk
plain=$(temp_file) copy=$(temp_file)
make_pattern "$plain" 3M

# by_what NAME: a session's cipher as the log has it.
by_what() {
    expect_match "$server_log" "TLS1\.3, AES-(128|256)-GCM$1, [A-Z0-9]+, PSK identity alice\$"
}

grep -qw aes /proc/cpuinfo || skip "without instructions for AES the cipher is ChaCha20"
for name in vaes-avx512 vaes-avx2 gnutls; do
    export NBDCRYPT_GCM=$name NBDCRYPT_TLS_RECORDS_PER_KEY=60
    start_tls_nbdcrypt --tls-psk "$psk" --raw "$plain"
    nbdcopy "$(psk_uri alice)" "$copy"
    cmp "$plain" "$copy"
    make_pattern "$copy" 3M 7
    nbdcopy --flush "$copy" "$(psk_uri alice)"
    cmp "$plain" "$copy"
    if [ $name = gnutls ] || grep -q 'this machine does not have' "$server_log"; then
        by_what ''
    else
        by_what " \\($name\\)"
    fi
    stop_nbdcrypt
    for program in test-transport-tls test-fuzz-tls-records; do
        "${top_builddir:-$(dirname "$NBDCRYPT")}/tests/unit/$program" >"$log_dir/$program" 2>&1 ||
            fail "$program with NBDCRYPT_GCM=$name: $(tail -5 "$log_dir/$program")"
    done
done

# It never is a reason not to serve.
export NBDCRYPT_GCM=rot13
start_tls_nbdcrypt --tls-psk "$psk" --raw "$plain"
nbdinfo --size "$(psk_uri alice)" >/dev/null
by_what ''
expect_match "$server_log" "NBDCRYPT_GCM is 'rot13', which this machine does not have: GnuTLS does AES-GCM"
stop_nbdcrypt
