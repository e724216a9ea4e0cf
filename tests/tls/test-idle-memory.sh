#!/bin/bash
# An idle TLS connection that has moved data before costs less than 64 KiB.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires_python_module ssl

make_pki
start_tls_nbdcrypt --threads 1 --raw memory:1M
python "$source_dir/tests/tls/idle-memory.py" "$uri" "$pki" "$pid" "$(is_sanitized && echo 100000 || echo 64)" </dev/null
stop_nbdcrypt
