#!/bin/bash
# A server that goes says so to the clients under TLS (close_notify), answers them, and does not wait for
# handshakes that stall.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires_python_module ssl

make_pki
start_tls_nbdcrypt --raw memory:8M
begin=$SECONDS
python "$source_dir/tests/tls/sigterm.py" "$uri" "$pki" "$pid" </dev/null
wait "$pid"
[ $((SECONDS - begin)) -lt 5 ] || fail "the server waited for a handshake that stalls"
