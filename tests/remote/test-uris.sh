#!/bin/bash
# A URI names a server on TCP or a Unix socket and nothing else: other transports, missing parts and parameters
# that do not belong there are refused with a sentence, before anything is connected.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires nbdkit memory --dump-plugin

# refused IMAGE MESSAGE
refused() {
    expect_failure 1 "image '$1': $2" serve --raw --unix "$(temp_socket)" "$1"
}
refused 'nbd:localhost' "it has to be nbd://HOST:PORT/EXPORT"
refused 'nbd+unix:/tmp/x' "it has to be nbd+unix:///EXPORT?socket=PATH"
refused 'nbd+unix:///' "socket=PATH is missing behind the '?'"
refused 'nbd://localhost/?socket=/tmp/x' "socket=PATH is for nbd+unix:// only"
refused 'nbd://localhost/?tls-psk-file=/tmp/x' "TLS files are given, but nbd:// has no TLS; write nbds://"
refused 'nbds://localhost/' \
    "give either tls-certificates=DIR or tls-psk-file=FILE behind the '?': what the server has to prove itself with"
refused 'nbds+unix:///?socket=/tmp/x&tls-certificates=/tmp' \
    "a server on a Unix socket has no host name that its certificate could be compared with; use tls-psk-file=FILE"
for image in nbd+ssh://localhost/ nbd+vsock://1/ nbd+exec:///bin/true; do
    run_nbdcrypt serve --raw --unix "$(temp_socket)" "$image"
    expect_equal "exit status for $image" 1 "$status"
    expect_match "$err" 'no backend is called'
done
for parameter in retry-for=x timeout=-1 tls-verify-peer=false nosuch=1; do
    run_nbdcrypt serve --raw --unix "$(temp_socket)" "nbd+unix:///?socket=/nonexistent&$parameter"
    expect_equal "exit status with $parameter" 1 "$status"
    expect_match "$err" "${parameter%%=*}"
done

# TCP, an export name, a socket whose name is encoded.
new_remote
start_remote nbdkit --foreground --unix "$remote_socket" memory 1M
start_nbdcrypt --raw "nbd+unix:///some%20name?socket=${remote_socket//\//%2F}&retry-for=3"
expect_equal "size" 1048576 "$(nbdinfo --size "$uri")"
stop_nbdcrypt
start_nbdcrypt --raw --listen 127.0.0.1:0 --name first "$remote"
first=$pid first_port=$port
start_nbdcrypt --raw "nbd://127.0.0.1:$first_port/first"
expect_equal "size" 1048576 "$(nbdinfo --size "$uri")"
stop_nbdcrypt
run_nbdcrypt serve --raw --unix "$(temp_socket)" "nbd://127.0.0.1:$first_port/nosuch"
expect_equal "exit status for an unknown export" 1 "$status"
pid=$first
stop_nbdcrypt
