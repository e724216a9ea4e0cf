import os
import sys
from nbd_client import *

uri, image = sys.argv[1:]
MIB = 1 << 20
file_bytes = os.stat(image).st_size
for client in all_styles(uri):
    client.write(0, b"e" * client.size)
    # Neither at the start of a fragment nor of what is asked for.
    cut = client.size - 4 * MIB - 5 * 4096
    for offset in 0, 12345, cut - 4096, cut - 3, cut, cut + 4096:
        for length in 4096, 200000, 4 * MIB:
            if offset + length <= cut:
                continue
            os.truncate(image, file_bytes - 4 * MIB - 5 * 4096)
            if not client.structured and offset < cut:
                break # it may end the connection
            reply = client.call(CMD_READ, offset, length)
            equal("error", reply.error, EIO)
            if client.structured:
                # Blocks that are read as a whole fail as a whole.
                expected = max(offset, cut)
                equal("chunk", reply.chunks[-1][0], CHUNK_ERROR_OFFSET)
                equal(f"where {length} bytes at {offset} fail", reply.error_offset, expected)
                if f"at byte {expected}: " not in reply.error_text:
                    raise AssertionError(reply.error_text)
    if client.structured:
        equal("a refusal", client.call(CMD_READ, client.size, 4096).chunks[-1][0], CHUNK_ERROR)
    os.truncate(image, file_bytes)
    client.disconnect()
