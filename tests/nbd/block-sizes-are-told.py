"""Asks for the block sizes, which are MIN PREFERRED MAX, and does not keep to them: URI MIN PREFERRED MAX."""
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    equal("block sizes", list(client.block_sizes()), [int(size) for size in sys.argv[2:]])
    client.write(0, bytes(4096))
    client.write(1, b"odd") # what does not keep to them is done all the same
    equal("data", client.read(0, 5), b"\0odd\0")
    client.write(0, bytes(4096))
    client.disconnect()

# Whether the client has asked for them or not, and whatever it sends off them; what is beside it stays.
PATTERN = b"0123456789abcdef" * 8192
for asked in True, False:
    client = Client(sys.argv[1], handshake=False)
    client.send_client_flags()
    client.want_structured_replies()
    client.want_contexts(["base:allocation"])
    client.go([INFO_BLOCK_SIZE] if asked else [])
    client.write(0, PATTERN)
    client.write(70001, b"odd")
    client.call(CMD_WRITE_ZEROES, 5001, 70).check()
    client.call(CMD_CACHE, 4097, 1).check()
    if client.flags & TF_TRIM:
        client.call(CMD_TRIM, 9001, 3).check()
    equal("extents", sum(length for length, _ in client.extents(4097, 3)), 3)
    expected = bytearray(PATTERN)
    expected[70001:70004], expected[5001:5071] = b"odd", bytes(70)
    data = bytearray(client.read(1, len(PATTERN) - 2))
    if client.flags & TF_TRIM:
        data[9000:9003] = expected[9001:9004]
    equal("what is there", data == expected[1:-1], True)
    client.write(0, bytes(len(PATTERN)))
    client.disconnect()
