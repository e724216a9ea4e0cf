import sys
from tls_client import TlsClient, context

uri, pki, pid, limit_kib = sys.argv[1:]
tls = context(pki, "client")
CLIENTS = 200


def resident_kib():
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def connect():
    client = TlsClient(uri, tls)
    client.write(0, b"x" * 100000)
    client.read(0, 300000)
    return client


clients = [connect() for _ in range(20)]
before = resident_kib()
clients += [connect() for _ in range(CLIENTS)]
each = (resident_kib() - before) / CLIENTS
print(f"{each:.1f} KiB for each idle connection", file=sys.stderr)
assert each < int(limit_kib), f"{each:.1f} KiB for each idle connection"
for client in clients:
    client.disconnect()
