#!/bin/bash
# However many clients want in, handshakes are calculated on half of the CPUs at most, or two, and storage does not
# wait behind them: what blocks, and so has a pool of its own, is done while they are.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires_python_module ssl

[ -z "${SANITIZERS-}" ] || skip "a library can't be preloaded before the sanitizers' one"
preload=$(dirname "$NBDCRYPT")/tests/support/slow-handshakes.so
requires test -e "$preload"
bound=$(($(nproc) > 4 ? $(nproc) / 2 : 2))
clients=$((8 * bound))
make_pki
image=$(temp_file)
truncate --size=8M "$image"
LD_PRELOAD=$preload start_tls_nbdcrypt --raw "$image"

python "$source_dir/tests/tls/handshakes-at-once.py" "$uri" "$pki" "$clients" "$server_log" </dev/null
expect_equal "most handshakes at once" "handshakes at once: $bound" "$(grep '^handshakes at once' "$server_log" | tail -n 1)"
stop_nbdcrypt
