"""Two clients under TLS, one for each thread, that write and read PLAINTEXT, whole sectors and parts of them, in records of all
sizes: URI PKI PLAINTEXT.  Once more with each line that they get; "done" after each time."""

import sys
from tls_client import TlsClient, context

uri, pki, file = sys.argv[1:]
data = open(file, "rb").read() * 512
clients = [TlsClient(uri, context(pki, "client")) for _ in range(2)]
while True:
    for number, client in enumerate(clients):
        for length in 512, 4096, 12288, 32768:
            for offset in (number << 20, (number << 20) + 65536 + 100):
                client.write(offset, data[:length])
                assert client.read(offset, length) == data[:length]
                assert client.read(offset + 7, 500) == data[7:507]
    print("done", flush=True)
    if not sys.stdin.readline():
        break
