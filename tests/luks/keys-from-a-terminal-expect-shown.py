import os
import pty
import sys

program, words, end, *arguments = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    os.execv(program, [program, *arguments])
shown = b""
while end.encode() not in shown:
    shown += os.read(terminal, 4096)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert f"\r\x1b[K{words} ... 1 s".encode() in shown and f"\r\x1b[K{end}".encode() in shown, shown
