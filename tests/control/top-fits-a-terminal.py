import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

program, path = sys.argv[1:]


def run(columns, rows, environment=None):
    """All that `ctl top` writes to a terminal of this size until it has shown three tables and was told to quit."""
    looked_at, was_looked_at = os.pipe()  # its terminal, before it changes that
    pid, master = pty.fork()
    if pid == 0:
        os.close(was_looked_at)
        os.read(looked_at, 1)
        os.environ.update(environment or {"TERM": "xterm"})
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execv(program, [program, "ctl", "--socket", path, "top", "--delay", "1"])
    before = termios.tcgetattr(master)
    os.close(looked_at)
    os.close(was_looked_at)
    written, begun, first, told = b"", time.monotonic(), None, False
    while True:
        if select.select([master], [], [], 20)[0]:
            try:
                part = os.read(master, 65536)
            except OSError:
                break
            if not part:
                break
            written += part
        assert time.monotonic() < begun + 40, written
        if first is None and b"b " in written:
            first = time.monotonic() - begun
        if written.count(b"EXPORT") == 3 and not told:  # once: one that comes too late is echoed
            os.write(master, b"q")
            told = True
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, (status, written)
    assert termios.tcgetattr(master) == before, "the terminal is left changed"
    os.close(master)
    return written.decode(), first


def tables_of(text):
    tables = text.split("\033[H\033[2J")
    assert tables[0] == "" and len(tables) >= 4, text
    return [table.replace("\r", "").rstrip("\n").split("\n") for table in tables[1:]]


text, first = run(80, 24)
assert first < 0.9, f"the first table took {first} s"
tables = tables_of(text)
for table in tables:
    assert all(len(line) <= 80 for line in table), table
    assert table[0].endswith("q quit") and table[1].split()[0] == "EXPORT" and len(table) == 4, table
    assert "\033" not in "".join(table), "colours or others"
busy = [next(line for line in table if line.startswith("a name of an ~")) for table in tables]
assert re.match(r"\S.*~ +2 +- +- +- +- +- ", busy[0]), busy[0]
for line in busy[1:3]:
    assert re.match(r"\S.*~ +2 +[0-9.]+[KMG] +0 +[0-9.]+k? ", line), line
assert tables[1][2].startswith("a name"), "the busiest does not stand first"

# Narrow and low: lines are cut, and so is the list.
for table in tables_of(run(30, 4)[0]):
    assert all(len(line) <= 30 for line in table) and len(table) == 3, table
