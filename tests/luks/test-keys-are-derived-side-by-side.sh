#!/bin/bash
# The keys of several exports are derived on several CPUs at a time, on one CPU one after the other.  The service manager
# hears meanwhile how far it is and that it should wait, a terminal is asked for one passphrase after the other, in order,
# and SIGTERM ends it all at once.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdinfo --version
requires taskset --version

exports=10
image=$(temp_file)
truncate --size=17M "$image"
cryptsetup_quietly luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 400000 "$image"
with_files=()
for ((i = 1; i <= exports; i++)); do
    cp --sparse=always "$image" "$image.$i"
    with_files+=(--export "disk$i=$image.$i,key-file=$passphrase")
done

# run_here CPU-LIST: opens them all; in how many of 100 looks at it several threads were calculating goes to
# $test_dir/several, and what the service manager was told to $test_dir/told.
run_here() {
    python - "$1" "$test_dir" "$NBDCRYPT" serve --unix "$(temp_socket)" "${with_files[@]}" <<'PYTHON_END'
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
PYTHON_END
}

cpus=$("$PYTHON" -c 'import os; print(",".join(map(str, sorted(os.sched_getaffinity(0)))))')
run_here "$cpus"
note "several threads calculated in $(<"$test_dir/several") % of the time on CPUs $cpus"
if [[ $cpus = *,* ]]; then
    [ "$(<"$test_dir/several")" -ge 50 ] || fail "keys wait for each other"
fi
grep -qx "STATUS=Opening exports: 0 of $exports" "$test_dir/told" || fail "no STATUS: $(<"$test_dir/told")"
grep -qxE "EXTEND_TIMEOUT_USEC=[1-9][0-9]{6,}" "$test_dir/told" || fail "no EXTEND_TIMEOUT_USEC: $(<"$test_dir/told")"

# In the middle of it.
own_socket=$(temp_socket)
"$NBDCRYPT" serve --unix "$own_socket" "${with_files[@]}" >/dev/null 2>"$log_dir/ended" &
pid=$!
remember_pid "$pid"
wait_until 20 test -S "$own_socket"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
expect_equal "status after SIGTERM" 143 "$status"
expect_message "$log_dir/ended" "nbdcrypt: ended by a signal before it was ready"
[ ! -e "$own_socket" ] || fail "the socket is still there"

# Those that are asked for, between others that have a file.
python - "$(<"$passphrase")" "$NBDCRYPT" serve --unix "$(temp_socket)" --export "first=$image.1" "${with_files[@]:4:4}" \
    --export "second=$image.2" "${with_files[@]:8:2}" <<'PYTHON_END'
import os
import pty
import re
import signal
import sys
import termios

passphrase, *command = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)
said = b""
while b"nbd+unix:" not in said:
    before = said.count(b"Passphrase for")
    said += os.read(terminal, 4096)
    if said.count(b"Passphrase for") > before:
        while b"': " not in said.rpartition(b"Passphrase for")[2]:
            said += os.read(terminal, 4096)
        while termios.tcgetattr(terminal)[3] & termios.ECHO: # what is typed before is thrown away
            pass
        os.write(terminal, passphrase.encode() + b"\n")
os.kill(child, signal.SIGTERM)
asked = re.findall(rb"Passphrase for '[^']*\.(\d+)': ", said)
assert asked == [b"1", b"2"], said
for line in re.split(rb"\r\n", said):
    shown = line.rpartition(b"\r\x1b[K")[2]
    assert re.match(rb"$|nbdcrypt: |nbd\+unix:|Passphrase for '[^']*': $", shown), (line, said)
while True:
    try:
        if not os.read(terminal, 4096):
            break
    except OSError:
        break
assert os.waitpid(child, 0)[1] == 0
PYTHON_END
