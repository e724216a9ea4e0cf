import sys
from nbd_client import *

expected = {"error-zero": EINVAL, "unknown-error": ENOSPC, "error-late": ENOMEM, "error-words": ENOSPC,
            "long-extent": [(8192, STATE_HOLE)], "more-extents": [(8192, STATE_HOLE)],
            "other-context": [(8192, 0)], "no-status": [(8192, 0)]}
for name, result in expected.items():
    with Client(f"nbd+unix:///lie:{name}?socket={sys.argv[1]}") as client:
        if isinstance(result, int):
            equal(f"error with {name}", client.error_of(CMD_READ, 8192, 8192), result)
        else:
            equal(f"extents with {name}", client.call(CMD_BLOCK_STATUS, 8192, 8192).check().extents, result)
