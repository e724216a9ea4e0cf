#!/bin/bash
# A server that is told to end does not wait for a calculation of a TLS handshake, whose client may have gone long ago: it
# answers and flushes what the others have sent, closes its images, and leaves with status 0.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires_python_module ssl

[ -z "${SANITIZERS-}" ] || skip "a library can't be preloaded before the sanitizers' one"
preload=$(dirname "$NBDCRYPT")/tests/support/slow-handshakes.so
requires test -e "$preload"
make_pki
image=$(temp_file)

# ends_soon CASE OPTION...
ends_soon() {
    local case=$1 begin

    shift
    truncate --size=0 "$image"
    truncate --size=8M "$image"
    SLOW_HANDSHAKE_S=600 LD_PRELOAD=$preload start_tls_nbdcrypt --tls on --raw --shutdown-timeout 120 "$@" "$image"
    begin=$SECONDS
    python - "${uri/nbds/nbd}" "$pki" "$pid" "$server_log" "$case" <<'PYTHON_END'
import os
import signal
import ssl
import sys
import nbd_client as nbd
from nbd_client import equal, wait_for
from tls_client import TlsClient, context

uri, pki, pid, log, case = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]


def logged(text):
    with open(log) as file:
        return text in file.read()


def begin_handshake():
    """As far as the ClientHello, whose answer is being calculated for ten minutes."""
    client = TlsClient(uri)
    equal("STARTTLS", client.option_result(nbd.OPT_STARTTLS), nbd.REP_ACK)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context(pki, "client").wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    client.socket.send(outgoing.read())
    return client


writer = TlsClient(uri)
writer.go()
slow = [begin_handshake() for _ in range(5)] # more than there are threads
wait_for(lambda: logged("handshakes at once: 2"), "calculations")
if case == "gone":
    for client in slow:
        client.socket.close()
if case == "late":
    wait_for(lambda: logged("did not finish its handshake in time"), "the end of their time")
writer.write(4096, b"safe" * 1024)
os.kill(pid, signal.SIGTERM)
PYTHON_END
    wait_until 20 gone
    wait "$pid" || fail "status $? in the case $case"
    [ $((SECONDS - begin)) -lt 20 ] || fail "the end waited for a calculation: $case"
    expect_match "$server_log" 'ended beside TLS handshakes that are still being calculated'
    expect_equal "what was written" "safesafe" "$(dd if="$image" bs=4096 skip=1 count=1 status=none | head -c 8)"
}
gone() {
    [ ! -e "/proc/$pid" ] || [ "$(ps -o state= -p "$pid")" = Z ]
}

ends_soon there
ends_soon gone
ends_soon late --handshake-timeout 1
