import os
import signal
import socket
import sys
import time
import nbd_client as nbd
from tls_client import TlsClient, context

uri, pki, pid = sys.argv[1:]
stalled = TlsClient(uri)
assert stalled.option_result(nbd.OPT_STARTTLS) == nbd.REP_ACK
stalled.socket.send(b"\x16\x03\x01\x02\x00")
idle = TlsClient(uri, context(pki, "client"))
busy = TlsClient(uri, context(pki, "client"))
haggling = TlsClient(uri, context(pki, "client"), go=False)
for _ in range(16):
    busy.send(nbd.CMD_READ, 0, 1 << 20)
os.kill(int(pid), signal.SIGTERM)
# Soon: it has a second, and so many options.
while (answer := haggling.option_result(nbd.OPT_LIST)) == nbd.REP_ACK:
    time.sleep(0.02)
assert answer == nbd.REP_ERR_SHUTDOWN
haggling.socket.close()
assert all(reply.error == 0 for reply in busy.receive_to_the_end().values()) # those that had begun
# suppress_ragged_eofs is off: without close_notify these would be errors.
for client in idle, busy:
    assert client.socket.recv(1) == b""
    client.socket.close()
