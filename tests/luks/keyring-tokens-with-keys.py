import ctypes
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
SYS_ADD_KEY, SYS_KEYCTL, JOIN_SESSION, SESSION = 248, 250, 1, -3
keys = {b"nbdcrypt:good": open(sys.argv[1], "rb").read(), b"nbdcrypt:wrong": b"wrong"}
if libc.syscall(SYS_KEYCTL, JOIN_SESSION, None) < 0:
    raise SystemExit(77)
for name, secret in keys.items():
    if libc.syscall(SYS_ADD_KEY, b"user", name, secret, len(secret), SESSION) < 0:
        raise SystemExit(77)
os.execvp(sys.argv[2], sys.argv[2:])
