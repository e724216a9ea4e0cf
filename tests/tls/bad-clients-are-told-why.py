import ssl
import sys
import time
from tls_client import TlsClient, context

uri, pki, log, refused = sys.argv[1:]
client = TlsClient(uri, context(pki, "expired", "TLSv1_3"), go=False)
deadline = time.monotonic() + 20
while open(log).read().count("TLS refused") < int(refused):
    assert time.monotonic() < deadline, "it is not refused"
    time.sleep(0.01)
for _ in range(64):
    client.socket.sendall(b"x" * 16384)
try:
    client.socket.recv(1)
    raise SystemExit("a client with an expired certificate is served")
except ssl.SSLError as error:
    assert "CERTIFICATE_EXPIRED" in str(error).upper(), error
client.socket.close()
