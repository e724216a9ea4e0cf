#!/bin/bash
# libnbd's asynchronous calls in any mix, many in flight on several connections, get what a model says: whole and structured
# reads, DF, writes, FUA, zeros, trims, block status, cache and flush; in the clear, with certificates and with pre-shared keys.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/libnbd.sh"
. "$(dirname "$0")/../support/tls.sh"
requires cryptsetup --version

seed=1

check() {
    seed=$((seed + 1))
    expect_right requests "$uri" 4 64 1500 "$seed"
    expect_right requests "$uri" 1 300 1000 "$((seed + 100))"
}
on_each_pipeline 4M check --discard
# shellcheck disable=SC2034 # for the function below
TEST_PIPELINES=luks-4096
on_each_pipeline 4M check --zero-holes

make_pki
make_psk
image=$(temp_file)
format_luks2 "$image" 4M --sector-size 4096
start_tls_nbdcrypt --tls-certificates "$pki/server" --tls-psk "$psk" --key-file "$passphrase" "$image"
expect_right requests "$(x509_uri client)" 3 48 1000 7
expect_right requests "$(psk_uri alice)" 3 48 1000 8
stop_nbdcrypt
