#!/bin/bash
# Injection behind STARTTLS, handshakes that come byte by byte, stall, or end anywhere: each costs its own
# connection, and neither processor time nor descriptors nor anybody else's patience.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires_python_module ssl

make_pki
export NBDCRYPT_ALLOW_CORE=1 # lets an ordinary user count its descriptors
start_tls_nbdcrypt --handshake-timeout 3 --threads 1 --raw memory:1M

python "$source_dir/tests/tls/hostile-handshakes.py" "$uri" "$pki" "$pid" </dev/null
expect_match "$server_log" 'dropped: bytes came behind STARTTLS, before it was answered'
expect_match "$server_log" 'the connection ended without close_notify'
stop_nbdcrypt
