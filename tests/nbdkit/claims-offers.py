import sys
from nbd_client import *

names = {TF_READ_ONLY: "READ_ONLY", TF_FLUSH: "FLUSH", TF_FUA: "FUA", TF_ROTATIONAL: "ROTATIONAL", TF_TRIM: "TRIM",
         TF_WRITE_ZEROES: "WRITE_ZEROES", TF_CACHE: "CACHE"}
with Client(sys.argv[1]) as client:
    print(*(name for flag, name in names.items() if client.flags & flag))
    fua = F_FUA if client.flags & TF_FUA else 0
    for flag, command, length, payload in (
            (0, CMD_READ, 512, b""), (TF_WRITE_ZEROES, CMD_WRITE, 512, bytes(512)), (TF_WRITE_ZEROES, CMD_WRITE_ZEROES, 512, b""),
            (TF_TRIM, CMD_TRIM, 512, b""), (TF_CACHE, CMD_CACHE, 512, b""), (TF_FLUSH, CMD_FLUSH, 0, b"")):
        allowed = client.flags & flag or flag == 0
        error = client.error_of(command, 0, length, fua, payload)
        if bool(error) != (not allowed):
            raise AssertionError(f"command {command} is offered: {allowed}, and answers {error}")
        if not fua:
            equal("FUA", client.error_of(command, 0, length, F_FUA, payload) in (EINVAL, EPERM), True)
    client.disconnect()
