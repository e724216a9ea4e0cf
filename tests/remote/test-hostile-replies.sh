#!/bin/bash
# Structured replies that lie are not believed: the connection is dropped with a sentence in the log, the request is sent
# again, and EIO when that does not help. No byte that the server did not send reaches the client, wherever a reply ends.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

disk=$(temp_file)
make_pattern "$disk" 64K
new_remote
start_fake "$disk" structured

# exports_of OPTION NAME...: fills $exports with one for each behaviour, all on the same server.
exports_of() {
    local query=$1 name

    shift
    exports=()
    for name in "$@"; do
        exports+=(--export "$name=nbd+unix:///$name?socket=$remote_socket&$query")
    done
}

# names_of TABLE...: the names in these tables of tests/support/nbd_lies.py.
names_of() {
    python - "$@" <<'PYTHON_END'
import sys
import nbd_lies

for table in sys.argv[1:]:
    print("\n".join(getattr(nbd_lies, table)))
PYTHON_END
}

readarray -t lies < <(names_of READS STATUSES WRITES)
readarray -t odd < <(names_of ODD_READS ODD_STATUSES)
[ "${#lies[@]}" -gt 30 ] || fail "there are too few lies"

# A lie in each of them, once: what comes after it is right.
exports_of timeout=2 "${lies[@]/#/once.lie:}"
start_nbdcrypt --raw --threads 1 "${exports[@]}"
python - "$socket" "$disk" "${lies[@]/#/once.lie:}" <<'PYTHON_END'
import sys
from nbd_client import *

socket, disk, *names = sys.argv[1:]
content = open(disk, "rb").read()
clients = {name: Client(f"nbd+unix:///{name}?socket={socket}") for name in names}
for client in clients.values():
    client.send(CMD_READ, 8192, 8192)
for name, client in clients.items():
    equal(f"what was read with {name}", client.receive().check().data, content[8192:16384])
for client in clients.values():
    client.send(CMD_BLOCK_STATUS, 8192, 8192)
for name, client in clients.items():
    equal(f"extents with {name}", client.receive().check().extents, [(512, STATE_HOLE | STATE_ZERO), (7680, 0)])
for client in clients.values():
    client.send(CMD_WRITE, 8192, 0, 0, content[8192:16384])
for name, client in clients.items():
    client.receive().check()
    client.call(CMD_FLUSH)      # where the connection was lost after the reply it has to fail once
    equal(f"what was read at last with {name}", client.read(0, 65536), content)
PYTHON_END
for name in "${lies[@]}"; do
    expect_match "$server_log" "image 'nbd\\+unix:///once.lie:$name\\?[^']*': the connection was lost \\([^)]{10,}"
done
stop_nbdcrypt

# Always: EIO in the end, and the others go on.
exports_of 'timeout=1&retry-for=1' "${lies[@]/#/lie:}" honest
start_nbdcrypt --raw --threads 2 "${exports[@]}"
python - "$socket" "$disk" honest "${lies[@]/#/lie:}" <<'PYTHON_END'
import sys
import nbd_lies
from nbd_client import *

socket, disk, honest, *names = sys.argv[1:]
content = open(disk, "rb").read()
clients = {name: Client(f"nbd+unix:///{name}?socket={socket}") for name in names}
other = Client(f"nbd+unix:///{honest}?socket={socket}")
for name, client in clients.items():
    command = nbd_lies.LIES[name.partition(":")[2]][0]
    client.send(command, 8192, 8192, 0, b"w" * 8192 if command == CMD_WRITE else b"")
for _ in range(100):
    equal("what was read meanwhile", other.read(0, 65536)[:4096], content[:4096])
for name, client in clients.items():
    equal(f"error with {name}", client.receive().error, 0 if name.endswith("finished") else EIO)
    client.call(CMD_FLUSH)
PYTHON_END
expect_alive "nbd+unix:///honest?socket=$socket"
stop_nbdcrypt

# Odd, but nothing that would have to end a connection.
exports_of timeout=1 "${odd[@]/#/lie:}"
start_nbdcrypt --raw --threads 1 "${exports[@]}"
python - "$socket" <<'PYTHON_END'
import sys
from nbd_client import *

expected = {"error-zero": EINVAL, "unknown-error": ENOSPC, "error-late": ENOMEM, "error-words": ENOSPC,
            "long-extent": [(8192, STATE_HOLE)], "more-extents": [(8192, STATE_HOLE)],
            "other-context": [(8192, 0)], "no-status": [(8192, 0)]}
for name, result in expected.items():
    with Client(f"nbd+unix:///lie:{name}?socket={sys.argv[1]}") as client:
        if isinstance(result, int):
            equal(f"error with {name}", client.error_of(CMD_READ, 8192, 8192), result)
        else:
            equal(f"extents with {name}", client.call(CMD_BLOCK_STATUS, 8192, 8192).check().extents, result)
PYTHON_END
grep 'connection was lost' "$server_log" && fail "a connection was dropped"
expect_match "$server_log" 'error-words[^:]*.*the server answers a request with No space left on device: no\?\[31m room\?$'
stop_nbdcrypt

# The server closes after each byte of a reply: of two chunks of data, and of block status.
exports_of timeout=5 cut:567.read cut:39.status
start_nbdcrypt --raw --threads 1 "${exports[@]}"
python - "$socket" "$disk" <<'PYTHON_END'
import sys
from nbd_client import *

socket, disk = sys.argv[1:]
content = open(disk, "rb").read()
with Client(f"nbd+unix:///cut:567.read?socket={socket}") as client:
    for i in range(570):
        at = i % 128 * 512
        equal(f"what was read, {i}", client.read(at, 512), content[at:at + 512])
with Client(f"nbd+unix:///cut:39.status?socket={socket}") as client:
    for i in range(42):
        equal(f"extents, {i}", client.call(CMD_BLOCK_STATUS, 0, 4096).check().extents,
              [(512, STATE_HOLE | STATE_ZERO), (3584, 0)])
PYTHON_END
stop_nbdcrypt
for export in cut:567.read cut:39.status; do
    count=${export#cut:} count=${count%.*}
    expect_equal "connections lost of $export" "$count" \
        "$(logged_times "$(grep -o "image 'nbd+unix:///$export?.*: the connection was lost" "$server_log" |
            head -n 1)")"
done

# What it says of itself.
exports_of timeout=5 flags:65535 flags:2049 size:9223372036854775296
start_nbdcrypt --raw --threads 1 "${exports[@]}"
python - "$socket" "$disk" <<'PYTHON_END'
import sys
from nbd_client import *

socket, disk = sys.argv[1:]
content = open(disk, "rb").read()
for name in "flags:65535", "flags:2049", "size:9223372036854775296":
    with Client(f"nbd+unix:///{name}?socket={socket}") as client:
        equal(f"what was read with {name}", client.read(0, 4096), content[:4096])
        if name == "flags:65535":
            equal("WRITE to what says that it is read-only", client.error_of(CMD_WRITE, 0, 0, 0, b"w" * 512), EPERM)
        if name == "flags:2049":    # FAST_ZERO without WRITE_ZEROES
            equal("flag FAST_ZERO", client.flags & TF_FAST_ZERO and not client.flags & TF_WRITE_ZEROES, 0)
            client.call(CMD_WRITE_ZEROES, 0, 4096, F_FAST_ZERO)
            equal("what was read after fast zeroes", client.read(0, 4096), content[:4096])
        if name.startswith("size"):
            equal("READ of what is not there", client.error_of(CMD_READ, client.size - 4096, 4096), EINVAL)
PYTHON_END
stop_nbdcrypt
for behaviour in flags:0 size:9223372036854775808 size:18446744073709551615; do
    run_nbdcrypt serve --raw --unix "$(temp_socket)" "nbd+unix:///$behaviour?socket=$remote_socket"
    expect_equal "exit status with $behaviour" 1 "$status"
    expect_match "$err" "^nbdcrypt: image '[^']*': the server [^:]+: .+"
    expect_equal "lines of the message with $behaviour" 1 "$(wc -l <"$err")"
done

# Something else after a reconnect: not the same disk, whatever it is then.
changes=(then-size:0 then-size:9223372036854775808 then-size:18446744073709551615 then-flags:0 then-flags:3)
exports_of retry-for=1 "${changes[@]/#/reply:half.after:1.}"
start_nbdcrypt --raw --threads 1 "${exports[@]}"
python - "$socket" "${changes[@]/#/reply:half.after:1.}" <<'PYTHON_END'
import sys
from nbd_client import *

socket, *names = sys.argv[1:]
clients = {name: Client(f"nbd+unix:///{name}?socket={socket}") for name in names}
for client in clients.values():
    client.read(0, 4096)
    client.send(CMD_READ, 0, 4096)
for name, client in clients.items():
    equal(f"error with {name}", client.receive().error, EIO)
PYTHON_END
for change in "${changes[@]}"; do
    expect_match "$server_log" "$change\\?[^']*': (it now has 0 bytes|it is read-only now|the server [^:]*: .+; trying again)"
    expect_match "$server_log" "$change\\?[^']*': requests fail until the server is back"
done
stop_nbdcrypt
