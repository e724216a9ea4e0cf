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
