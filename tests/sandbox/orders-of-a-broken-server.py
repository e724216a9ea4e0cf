"""orders-of-a-broken-server.py SERVER-PID SPAWNER-PID MARK FOLDER: gives the process beside a server orders of our own, over
the server's own socket, as somebody would who runs code in a thread of it.  They try to make the file MARK, or to end a program
of ours.  Prints what was answered; root alone may do this.

    env PROGRAM...       the program is one of the configuration, and gets the environment of the order
"""
import ctypes
import os
import socket
import struct
import subprocess
import sys

PIDFD_GETFD = 438
START, WATCH, REMEMBER, BECOME, TWIN, SEAL = range(6)
server, spawner, made, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
allowed = sys.argv[5:]


def sockets_of(process):
    """Their inodes, by descriptor."""
    found = {}
    for name in os.listdir(f"/proc/{process}/fd"):
        try:
            link = os.readlink(f"/proc/{process}/fd/{name}")
        except FileNotFoundError:
            continue
        if link.startswith("socket:["):
            found[int(name)] = int(link[8:-1])
    return found


def taken():
    """The server's end of the socket that is the spawner's standard input: sockets of a pair are made one behind the other."""
    theirs = sockets_of(spawner)[0]
    ours = [fd for fd, inode in sockets_of(server).items() if abs(inode - theirs) == 1]
    libc = ctypes.CDLL(None, use_errno=True)
    for fd in ours:
        copy = libc.syscall(PIDFD_GETFD, os.pidfd_open(server), fd, 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        one = socket.socket(fileno=copy)
        if one.type & 0xF == socket.SOCK_SEQPACKET:
            return one
    sys.exit("the socket was not found")


control = taken()
control.settimeout(20)


def order(kind, words=(), environment=(), where="", files=(), body=None):
    if body is None:
        body = b"".join(os.fsencode(word) + b"\0" for word in (where, *words, *environment))
    message = struct.pack("=IIII", kind, len(words), len(environment), 0o22) + body
    socket.send_fds(control, [message], list(files))


def answer():
    error, _, sealed, process = struct.unpack("=iIIi", control.recv(64))
    return f"{error} {sealed}" if process == 0 else f"{error} {process}"


def start(words, environment=(), where=""):
    """Its output, when it was started."""
    nothing = os.open("/dev/null", os.O_RDWR)
    output, written = os.pipe()
    leash, their_leash = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    order(START, words, environment, where, [nothing, written, nothing, their_leash.fileno()])
    os.close(written)
    their_leash.close()
    told = answer()
    if told != "0 0":
        return told
    leash.recv(4)
    with os.fdopen(output, "rb") as file:
        return "started: " + repr(file.read().decode())


print("another program:", start(["touch", made]))
print("with the name of one:", start([allowed[0], "touch", made]))
print("in another folder:", start(allowed, [], folder))
print("one of them:", start(allowed, [f"LD_PRELOAD={folder}/code", "PATH=" + folder]))

memory = os.memfd_create("programs", os.MFD_ALLOW_SEALING)
os.write(memory, b"e\0\0*\0touch\0\0")
order(SEAL, body=b"\0", files=[memory])
print("other rules:", answer())
print("another program:", start(["touch", made]))

# A successor of it has the same rules; nobody waits for it but the server, which does not know it.
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
order(TWIN, body=b"", files=[theirs.fileno()])
theirs.close()
told = answer().split()
print("a successor:", told[0])
order(TWIN, body=b"", files=[ours.fileno()])
print("one more:", answer())
control = ours
control.settimeout(20)
order(TWIN, body=b"", files=[memory])
print("one of its:", answer())
print("another program of its:", start(["touch", made]))
print("one of them of its:", start(allowed))

# It would end all who have that in their environment, and write a report there, when the server has gone.
victim = subprocess.Popen(["sleep", "60"], env={"MARKED": "by somebody"})
order(WATCH, body=b"MARKED=by somebody\0")
order(REMEMBER, body=f"{server} 20 {folder}".encode() + b"\0", files=[memory])
control.close()
try:
    victim.wait(2)
    print("a stranger was ended")
except subprocess.TimeoutExpired:
    victim.kill()
    victim.wait()
