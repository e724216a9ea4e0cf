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
python "$source_dir/tests/remote/hostile-replies-once.py" "$socket" "$disk" "${lies[@]/#/once.lie:}" </dev/null
for name in "${lies[@]}"; do
    expect_match "$server_log" "image 'nbd\\+unix:///once.lie:$name\\?[^']*': the connection was lost \\([^)]{10,}"
done
stop_nbdcrypt

# Always: EIO in the end, and the others go on.
exports_of 'timeout=1&retry-for=1' "${lies[@]/#/lie:}" honest
start_nbdcrypt --raw --threads 2 "${exports[@]}"
python "$source_dir/tests/remote/hostile-replies-always.py" "$socket" "$disk" honest "${lies[@]/#/lie:}" </dev/null
expect_alive "nbd+unix:///honest?socket=$socket"
stop_nbdcrypt

# Odd, but nothing that would have to end a connection.
exports_of timeout=1 "${odd[@]/#/lie:}"
start_nbdcrypt --raw --threads 1 "${exports[@]}"
python "$source_dir/tests/remote/hostile-replies-that-are-odd.py" "$socket" </dev/null
grep 'connection was lost' "$server_log" && fail "a connection was dropped"
expect_match "$server_log" 'error-words[^:]*.*the server answers a request with No space left on device: no\?\[31m room\?$'
stop_nbdcrypt

# The server closes after each byte of a reply: of two chunks of data, and of block status.
exports_of timeout=5 cut:567.read cut:39.status
start_nbdcrypt --raw --threads 1 "${exports[@]}"
python "$source_dir/tests/remote/hostile-replies-cut-short.py" "$socket" "$disk" </dev/null
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
python "$source_dir/tests/remote/hostile-replies-about-the-export.py" "$socket" "$disk" </dev/null
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
