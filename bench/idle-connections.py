#!/usr/bin/env python3
"""Opens COUNT connections to an NBD server on a Unix socket, takes each through the handshake to the
end of NBD_OPT_GO, and prints the server's resident memory in KiB while all of them are idle.

usage: idle-connections.py SOCKET COUNT PID
"""
import resource
import socket
import struct
import sys
import time

NBDMAGIC = 0x4E42444D41474943
IHAVEOPT = 0x49484156454F5054
OPTION_REPLY_MAGIC = 0x3E889045565A9
OPT_GO = 7
REP_ACK = 1
FIXED_NEWSTYLE_NO_ZEROES = 3


def receive(sock, length_bytes):
    data = b""
    while len(data) < length_bytes:
        part = sock.recv(length_bytes - len(data))
        if not part:
            raise SystemExit("the server closed the connection")
        data += part
    return data


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    magic, have_option, _ = struct.unpack(">QQH", receive(sock, 18))
    if (magic, have_option) != (NBDMAGIC, IHAVEOPT):
        raise SystemExit("this is no NBD server")
    sock.sendall(struct.pack(">L", FIXED_NEWSTYLE_NO_ZEROES))
    payload = struct.pack(">LH", 0, 0)  # the export with the empty name, no information requests
    sock.sendall(struct.pack(">QLL", IHAVEOPT, OPT_GO, len(payload)) + payload)
    while True:
        magic, _, reply, length_bytes = struct.unpack(">QLLL", receive(sock, 20))
        receive(sock, length_bytes)
        if magic != OPTION_REPLY_MAGIC or reply & 0x80000000:
            raise SystemExit("the server refused the export (reply %#x)" % reply)
        if reply == REP_ACK:
            return sock


def resident_kib(pid):
    with open("/proc/%s/status" % pid, encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise SystemExit("no VmRSS of process %s" % pid)


def main():
    path, count, pid = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = [connect(path) for _ in range(count)]
    time.sleep(0.5)  # whatever the server does once a client has come, is done
    print(resident_kib(pid))
    for sock in connections:
        sock.close()


main()
