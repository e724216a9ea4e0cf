#!/bin/bash
# A client that begins a long message of the handshake after the handshake is dropped, whoever does the records: GnuTLS would
# gather 16 MiB for each.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires_python_module ssl

make_pki
image=$(temp_file)
truncate --size=1M "$image"
for implementation in '' gnutls; do
    NBDCRYPT_GCM=$implementation start_tls_nbdcrypt --raw "$image"
    python "$source_dir/tests/tls/message-without-end-is-not-gathered.py" "$uri" "$pki" "$test_dir/keys" </dev/null
    wait_until 20 grep -qE 'TLS: it sent (a message of the handshake that is longer|something that is not TLS)' "$server_log"
    stop_nbdcrypt
done
