import os
import signal
import sys
from tls_client import TlsClient, context

client = TlsClient(sys.argv[1], context(sys.argv[2], "client"))
for _ in range(20):
    os.kill(int(sys.argv[3]), signal.SIGHUP)
    client.write(0, b"x" * 100000)
    assert client.read(0, 100000) == b"x" * 100000
    TlsClient(sys.argv[1], context(sys.argv[2], "client")).disconnect()
client.disconnect()
