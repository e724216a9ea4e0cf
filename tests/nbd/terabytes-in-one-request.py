import sys
from nbd_client import *

uri, pid = sys.argv[1:]
MIB, TIB = 1 << 20, 1 << 40


def memory_kib():
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


client, other = Client(uri, extended=True), Client(uri)
hole = STATE_HOLE | STATE_ZERO
client.write(3 * TIB, b"d" * MIB)
client.write(7 * TIB, b"e" * MIB)
before = memory_kib()
equal("extents of the whole", client.extents(0, client.size),
      [(3 * TIB, hole), (MIB, 0), (4 * TIB - MIB, hole), (MIB, 0), (TIB - MIB, hole)])
equal("the first one", client.extents(5, 6 * TIB, F_REQ_ONE), [(3 * TIB - 5, hole)])
equal("of a part", client.extents(TIB, 4 * TIB), [(2 * TIB, hole), (MIB, 0), (2 * TIB - MIB, hole)])

# They go on while others are answered.
cookies = [client.send(CMD_TRIM, 5, 4 * TIB), client.send(CMD_CACHE, 0, 8 * TIB),
           client.send(CMD_WRITE_ZEROES, 6 * TIB + 1, 2 * TIB - 2)]
for i in range(20):
    equal("another's data", other.read(7 * TIB - 8192, 4096), bytes(4096))
replies = client.receive_all()
equal("errors", [replies[cookie].error for cookie in cookies], [0, 0, 0])
equal("extents afterwards", client.extents(0, 7 * TIB), [(7 * TIB, hole)])
equal("zeros", client.read(7 * TIB, MIB), bytes(MIB))
grown = memory_kib() - before
if grown > 8192:
    raise AssertionError(f"the server grew by {grown} KiB")
client.disconnect()
