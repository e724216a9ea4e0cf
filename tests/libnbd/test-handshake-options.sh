#!/bin/bash
# libnbd negotiates option by option: LIST, INFO and contexts of each export, GO to an unknown one and to each, ABORT; in the
# clear and under TLS.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/libnbd.sh"
. "$(dirname "$0")/../support/tls.sh"

first=$(temp_file) second=$(temp_file)
truncate -s 1M "$first"
truncate -s 3M "$second"
exports=(--export "one=$first,raw" --export "two words=$second,raw,description=another")
start_nbdcrypt "${exports[@]}"
expect_right options "nbd+unix:///?socket=$socket" one 1048576 'two words' 3145728
! "$libnbd_client" options "nbd+unix:///?socket=$socket" one 1048577 2>"$log_dir/other" || fail "the wrong size is not told"
stop_nbdcrypt

make_pki
start_tls_nbdcrypt "${exports[@]}"
expect_right options "$(x509_uri client)" one 1048576 'two words' 3145728
stop_nbdcrypt
