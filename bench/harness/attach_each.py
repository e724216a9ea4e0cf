"""attach_each.py SOCKET COUNT PID: attaches each of the exports vm0, vm1 ... with a client of its own that reads a block, and
prints the memory of the server with all of them, less what as many more clients of vm0 take, in KiB."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tests", "support"))
from nbd_client import Client  # noqa: E402

path, count, pid = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def resident_kib():
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("RssAnon", "RssShmem")))


def attach(number):
    client = Client(f"nbd+unix:///vm{number}?socket={path}")
    client.read(0, 4096)
    return client


clients = [attach(number) for number in range(count)]
each = resident_kib()
clients += [attach(0) for _ in range(count)]
print(2 * each - resident_kib())
