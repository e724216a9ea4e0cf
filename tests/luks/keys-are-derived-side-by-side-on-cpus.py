import glob
import os
import signal
import socket
import subprocess
import sys

cpus, folder, *command = sys.argv[1:]
os.sched_setaffinity(0, {int(cpu) for cpu in cpus.split(",")})
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
path = folder + "/notify"
notify.bind(path)
notify.settimeout(0.01)
busy, several, told = 0, 0, ""
with subprocess.Popen(command, env=dict(os.environ, NOTIFY_SOCKET=path), stdout=subprocess.PIPE,
                      stderr=subprocess.DEVNULL) as process:
    while "READY=1" not in told.split("\n"):
        try:
            told += notify.recv(4096).decode() + "\n"
        except TimeoutError:
            pass
        assert process.poll() is None, "it ended"
        states = []
        for stat in glob.glob(f"/proc/{process.pid}/task/*/stat"):
            try:
                states.append(open(stat).read().rpartition(")")[2].split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass
        busy += states.count("R") >= 1
        several += states.count("R") >= 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
os.unlink(path)
open(folder + "/several", "w").write(str(100 * several // busy))
open(folder + "/told", "w").write(told)
