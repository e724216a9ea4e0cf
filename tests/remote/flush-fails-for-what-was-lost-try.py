import sys
import nbd_server
from nbd_client import *

name, uri, socket, disk, *words = sys.argv[1:]
MIB = 1 << 20


class Remote:
    def __init__(self, *behaviour):
        self.pid = None
        self.start(*behaviour)

    def start(self, *behaviour):
        self.pid = nbd_server.start(socket, disk, [*words, *behaviour])

    def kill(self):
        nbd_server.kill(self.pid)


def flush_of(client):
    return client.error_of(CMD_FLUSH)


def on_disk(length, offset=0):
    with open(disk, "rb") as file:
        file.seek(offset)
        return file.read(length)


def answer_of(client, *cookies):
    """The errors of these replies, which may come in any order."""
    replies = [client.receive() for _ in cookies]
    errors = {reply.cookie: reply.error for reply in replies}
    return [errors[cookie] for cookie in cookies]


def read_beside(client):
    read = client.send(CMD_READ, 0, 4096)
    equal("READ", client.receive().check().cookie, read)


def a_command_spans_the_restart(begin, redo):
    """Its first fragment is answered by one server and lost, the others by the next one."""
    remote = Remote("stall-WRITE=1", "stall-FLUSH=0")
    with Client(uri) as a, Client(uri) as b:
        command = begin(a)
        for _ in range(2):                      # the second is sent to the server behind the first fragment
            read_beside(a)
        waiting = a.send(CMD_FLUSH)             # tells nobody of the command, which has no answer yet
        b_waiting = b.send(CMD_FLUSH)
        read_beside(a)                          # both have begun: what comes behind them is answered
        read_beside(b)
        remote.kill()
        remote.start()
        equal("the command, and FLUSH under way", answer_of(a, command, waiting), [0, 0])
        equal("FLUSH of the other, under way", answer_of(b, b_waiting), [0])
        equal("FLUSH after the command", flush_of(a), EIO)
        equal("FLUSH of the other after the command", flush_of(b), EIO)
        redo(a)
        equal("the second FLUSH", flush_of(a), 0)
        equal("the second FLUSH of the other", flush_of(b), 0)
    return remote


def write_spans():
    new = bytes(range(1, 129)) * 8192
    remote = a_command_spans_the_restart(lambda client: client.send(CMD_WRITE, 0, MIB, 0, new),
                                         lambda client: client.write(0, new))
    equal("the disk", on_disk(MIB), new)
    return remote


def zeroes_span():
    with Client(uri) as client:
        remote = Remote()
        client.write(0, b"old." * MIB)
        client.flush()
        remote.kill()
    remote = a_command_spans_the_restart(lambda client: client.send(CMD_WRITE_ZEROES, 0, 4 * MIB),
                                         lambda client: client.write_zeroes(0, 4 * MIB))
    remote.kill()
    remote.start()
    with Client(uri) as client:
        equal("the zeros", client.read(0, 4 * MIB), bytes(4 * MIB))
    return remote


def each_connection_is_told():
    remote = Remote()
    with Client(uri) as a, Client(uri) as b:
        a.write(0, b"a" * 4096)
        remote.kill()
        remote.start()
        equal("FLUSH", [flush_of(client) for client in (a, b, a, b)], [EIO, EIO, 0, 0])
        a.write(0, b"b" * 4096)
        equal("FLUSH after the repeated write", [flush_of(client) for client in (a, b)], [0, 0])
        with Client(uri) as c:
            equal("FLUSH of who came later", flush_of(c), 0)
        remote.kill()
        remote.start()
        equal("FLUSH when nothing was lost", [flush_of(client) for client in (a, b)], [0, 0])
    return remote


def who_vanished_is_told():
    remote = Remote()
    with Client(uri) as other:
        a = Client(uri)
        a.write(0, b"a" * 4096)
        remote.kill()
        a.send(CMD_FLUSH)
        a.socket.close()        # with the answer unread, or yet to come
        remote.start()
        with Client(uri) as again:
            equal("FLUSH after the client came back", [flush_of(again) for _ in range(2)], [EIO, 0])
            # At once, unless the old connection was seen to be gone after the new one had come.
            wait_for(lambda: newcomers_flush() == 0, "who comes after that is told no more")
            # The other vanishes untold, though one was told.
            other.send(CMD_READ, 0, 4096)
            other.socket.close()
            wait_for(lambda: newcomers_flush() == EIO, "the loss is told in the place of who vanished")
            wait_for(lambda: newcomers_flush() == 0, "who comes after that is told no more")
            equal("FLUSH of who knows", flush_of(again), 0)
    return remote


def newcomers_flush():
    with Client(uri) as client:
        return flush_of(client)


def fua_without_fua():
    remote = Remote()
    with Client(uri) as client:
        equal("FUA is offered", bool(client.flags & TF_FUA), True)
        remote.kill()
        for number, die in enumerate(("never:WRITE:0", "before:WRITE:0", "answered:WRITE:0", "before:FLUSH:0",
                                      "after:FLUSH:0", "half:FLUSH:0")):
            remote.start("die=" + die)
            successor = None if die.startswith("never") else threaded_successor(remote)
            data = bytes([number + 1]) * 4096
            client.write(8192, data, F_FUA)
            equal("the disk after a write with FUA, " + die, on_disk(4096, 8192), data)
            client.write_zeroes(8192, 4096, F_FUA)
            equal("the disk after zeroes with FUA, " + die, on_disk(4096, 8192), bytes(4096))
            if successor:
                successor.join()
            remote.kill()
        remote.start()
        equal("FLUSH", flush_of(client), 0)
    return remote


def threaded_successor(remote):
    def run():
        nbd_server.wait(remote.pid)
        remote.start()
    thread = nbd_server.threading.Thread(target=run)
    thread.start()
    return thread


def the_server_fails_a_flush():
    remote = Remote("fail-flush=1")
    with Client(uri) as a, Client(uri) as b:
        a.write(0, b"a" * 4096)
        b.write(4096, b"b" * 4096)
        equal("FLUSH", [flush_of(client) for client in (a, b, a, b)], [EIO, EIO, 0, 0])
    return remote


globals()[name]().kill()
