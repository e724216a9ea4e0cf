"""Gets a thread of a program into trouble that was started with tests/support/trouble.so preloaded.

    python trouble.py PID THREAD TROUBLE      THREAD: its name, or main
"""
import ctypes
import os
import signal
import struct
import sys

TROUBLES = ["over", "spin", "null-pointer", "no-file", "no-instruction", "division", "abort", "overflow", "no-memory"]
SYS_RT_TGSIGQUEUEINFO = {"x86_64": 297, "aarch64": 240}[os.uname().machine]
SI_QUEUE = -1


def thread_named(pid, name):
    if name == "main":
        return pid
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            if open(f"/proc/{pid}/task/{task}/comm").read().strip() == name:
                return int(task)
        except FileNotFoundError:
            pass
    raise SystemExit(f"there is no thread {name}")


def trouble(pid, thread, what):
    # si_signo, si_errno, si_code, (padding), si_pid, si_uid, si_value; 128 bytes in all
    info = struct.pack("iiiiiiQ", signal.SIGUSR2, 0, SI_QUEUE, 0, os.getpid(), os.getuid(), TROUBLES.index(what))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(SYS_RT_TGSIGQUEUEINFO, pid, thread_named(pid, thread), signal.SIGUSR2, info.ljust(128, b"\0")) < 0:
        raise OSError(ctypes.get_errno(), "rt_tgsigqueueinfo")


if __name__ == "__main__":
    trouble(int(sys.argv[1]), sys.argv[2], sys.argv[3])
