#!/bin/bash
# With --tls require-tcp clients must use TLS on TCP, and may use it on a Unix socket; an export that is tls-only is for those
# who do.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires nbdinfo --version

make_pki
start_tls_nbdcrypt --tls require-tcp --unix "$test_dir/s" --export secret=memory:2M,raw,tls-only --export plain=memory:1M,raw
expect_equal "URIs" "nbd+unix:///plain?socket=$test_dir/s nbds://127.0.0.1:$port/secret" "${uris[*]}"

expect_equal "on the Unix socket" 1048576 "$(nbdinfo --size "nbd+unix:///plain?socket=$test_dir/s")"
expect_equal "on TCP, under TLS" 1048576 "$(nbdinfo --size "$(x509_uri client plain)")"
! nbdinfo --size "nbd://localhost:$port/plain" >/dev/null 2>&1 || fail "a client on TCP gets in without TLS"
! nbdinfo --list "nbd://localhost:$port/" >/dev/null 2>&1 || fail "a client on TCP is told the exports without TLS"
! nbdinfo --size "nbd+unix:///secret?socket=$test_dir/s" >/dev/null 2>&1 || fail "what is tls-only is served without TLS"
expect_equal "what is tls-only" 2097152 "$(nbdinfo --size "$(x509_uri client secret)")"
python - "nbd+unix:///secret?socket=$test_dir/s" "$pki" <<'PYTHON_END'
import sys
from tls_client import TlsClient, context

# Who wants it on the Unix socket has it.
TlsClient(sys.argv[1], context(sys.argv[2], "client")).disconnect()
PYTHON_END
stop_nbdcrypt
