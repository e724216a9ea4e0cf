#!/bin/bash
# The three modes of TLS (proto.md, "TLS"): what is answered before STARTTLS, and what after it.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"

make_pki
image=$(temp_file)
truncate --size=1M "$image"

rules=$test_dir/rules.py
cp "$source_dir/tests/tls/modes.py" "$rules"

# serve MODE NAME-OF-THE-SECOND-EXPORT
serve() {
    start_tls_nbdcrypt --tls "$1" --raw --export "open=memory:1M" --export "secret=$image$2"
    case $1 in
    require) expect_equal "scheme" nbds "${uri%%:*}" ;;
    on) expect_equal "scheme" nbd "${uri%%:*}" ;;
    esac
    python "$rules" "$1" "$uri" "$pki"
    stop_nbdcrypt
}

serve on ,tls-only
serve require ''
start_nbdcrypt --listen 127.0.0.1:0 --raw --export "open=memory:1M" --export "secret=$image"
python "$rules" off "$uri" "$pki"
stop_nbdcrypt

# The URI of a command says it too, on a Unix socket and on TCP.
# shellcheck disable=SC2016 # $uri is the command's
for listen in "--unix=$(temp_socket)" --listen=127.0.0.1:0; do
    run_nbdcrypt serve --raw --tls-certificates "$pki/server" "$listen" \
        --run 'case $uri in nbds://* | nbds+unix:///*) ;; *) exit 3 ;; esac' "$image"
    expect_equal "status of the command" 0 "$status"
done
