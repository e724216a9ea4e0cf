#!/bin/bash
# Plugins of nbdkit as Debian has them give the same bytes and extents as under nbdkit itself, keep what is written, and
# what they fail with reaches the client.
. "$(dirname "$0")/../support/functions.sh"

# What plugins of others, and the interpreters in them, do not give back is not ours.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"

requires nbdkit memory --dump-plugin
requires nbdkit python --dump-plugin
requires mkfs.ext4 -V
requires nbdcopy --version
requires xorriso -version
requires ssh -V
requires test -x /usr/sbin/sshd
export no_proxy='*'

plain=$(temp_file) copy=$(temp_file) reference=$(temp_file) sectors=$(temp_file)
folder=$(temp_dir)
make_pattern "$plain" 1M
make_pattern "$sectors" 1M 2
cp "$plain" "$folder/OWL.BIN"

# ---- what they give is what they give under nbdkit ----

# Debian's http.server knows no ranges.
start_http_server() {
    mkfifo "$test_dir/http-port"
    "$PYTHON" "$source_dir/tests/nbdkit/more-plugins-start-http-server.py" "$plain" >"$test_dir/http-port" 2>"$log_dir/http" </dev/null &
    remember_pid $!
    read -r -t 60 http_port <"$test_dir/http-port" || fail "the HTTP server did not start"
}

# For the user who runs the test, and with keys of its own; the port is one that was free a moment ago.
start_ssh_server() {
    local attempt sshd_pid

    ssh-keygen -q -t ed25519 -N '' -f "$test_dir/host-key"
    ssh-keygen -q -t ed25519 -N '' -f "$test_dir/user-key"
    if [ "$(id -u)" -eq 0 ] && [ ! -d /run/sshd ]; then
        mkdir /run/sshd # root's sshd wants it
        clean_up_test() {
            rmdir /run/sshd
        }
    fi
    for attempt in {1..5}; do
        ssh_port=$(python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
        /usr/sbin/sshd -D -e -f /dev/null -p "$ssh_port" -h "$test_dir/host-key" -o ListenAddress=127.0.0.1 \
            -o AuthorizedKeysFile="$test_dir/user-key.pub" -o StrictModes=no -o UsePAM=no -o PidFile=none \
            -o PermitRootLogin=yes -o PasswordAuthentication=no -o Subsystem='sftp internal-sftp' \
            </dev/null >"$log_dir/sshd-$attempt" 2>&1 &
        sshd_pid=$!
        remember_pid "$sshd_pid"
        while kill -0 "$sshd_pid" 2>/dev/null; do
            if grep -q 'Server listening on' "$log_dir/sshd-$attempt"; then
                echo "[127.0.0.1]:$ssh_port $(cut -d ' ' -f 1,2 "$test_dir/host-key.pub")" >"$test_dir/known-hosts"
                return
            fi
            sleep 0.05
        done
    done
    fail "sshd did not start"
}

cp "$source_dir/tests/nbdkit/more-plugins.py" "$test_dir/disk.py"

# served_by_nbdkit PLUGIN PARAMETER...: what it gives, and its extents.
served_by_nbdkit() {
    # shellcheck disable=SC2016 # nbdkit sets $uri
    nbdkit --unix - --read-only "$@" --run "nbdcopy \"\$uri\" '$reference' && nbdinfo --map --totals \"\$uri\"" \
        2>>"$log_dir/nbdkit"
}

start_http_server
start_ssh_server
ssh_words="ssh host=127.0.0.1 port=$ssh_port user=$(id -un) path=$plain identity=$test_dir/user-key known-hosts=$test_dir/known-hosts"
other_socket=$(temp_socket)
start_nbdcrypt --raw --read-only --unix "$other_socket" "$plain"
other_pid=$pid
rows=(
    'sparse-random size=4M seed=7 percent=20 random-content=true'
    'null size=1M'
    "split file=$plain file=$sectors" # it and the next one are of version 1 of the interface
    "partitioning $plain $sectors"
    "floppy dir=$folder"
    "curl url=http://127.0.0.1:$http_port/disk"
    "$ssh_words"
    "python $test_dir/disk.py"
    "nbd socket=$other_socket"
)
for row in "${rows[@]}"; do
    read -r -a words <<<"$row"
    expected_map=$(served_by_nbdkit "${words[@]}") || fail "nbdkit does not serve ${words[*]}"
    parameters=$(IFS='&' && echo "${words[*]:1}")
    start_nbdcrypt --raw --read-only "nbdkit:${words[0]}${parameters:+?$parameters}"
    nbdcopy "$uri" "$copy" || fail "${words[0]} could not be read"
    cmp "$reference" "$copy" || fail "${words[0]} gives something else than under nbdkit"
    expect_equal "extents of ${words[0]}" "$expected_map" "$(nbdinfo --map --totals "$uri")"
    stop_nbdcrypt
    : >"$copy"
done
kill "$other_pid"
wait "$other_pid"

# The time of its making is in an image of a CD.
# This one names a descriptor of its own to a shell, which takes one figure: ours must not have taken the low ones.
exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null
start_nbdcrypt --raw --read-only "nbdkit:iso?dir=$folder"
exec 3<&- 4<&- 5<&- 6<&-
nbdcopy "$uri" "$copy"
stop_nbdcrypt
xorriso -osirrox on -indev "$copy" -extract /OWL.BIN "$test_dir/extracted" >"$log_dir/xorriso" 2>&1
cmp "$plain" "$test_dir/extracted" || fail "iso holds something else"
: >"$copy"

# ---- what is written stays ----

writable=$(temp_file) part=$(temp_file)
truncate --size=1M "$writable" "$part"
start_nbdcrypt --raw --unix "$other_socket.writable" "$writable"
other_pid=$pid
for row in "python?$test_dir/disk.py" "nbd?socket=$other_socket.writable" "ondemand?dir=$folder&size=1M" \
    'tmpdisk?type=ext4&size=1M' "ssh?$(IFS=' ' && read -r -a words <<<"${ssh_words/"$plain"/"$writable"}" && IFS='&' && echo "${words[*]:1}")" \
    "partitioning?$part"; do
    start_nbdcrypt --raw "nbdkit:$row"
    if [ "${row%%\?*}" = tmpdisk ] || [ "${row%%\?*}" = ondemand ]; then
        nbdcopy "$uri" "$copy"
        expect_equal "magic of ext4 on $row" 53ef "$(od -An -tx1 -j 1080 -N 2 "$copy" | tr -d ' ')"
    fi
    if [ "${row%%\?*}" != partitioning ]; then
        nbdcopy --flush "$sectors" "$uri"
        nbdcopy "$uri" "$copy"
        cmp "$sectors" "$copy" || fail "$row does not keep what is written"
    else # its first sectors are its own table
        python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    client.write(1 << 20, b"partition" * 512, F_FUA)
    equal("what was written", client.read(1 << 20, 4608), b"partition" * 512)
    equal("its table", client.error_of(CMD_WRITE, 0, 512, 0, bytes(512)), EIO)
    client.disconnect()
PYTHON_END
        expect_equal "what the partition holds" partition "$(head -c 9 "$part")"
    fi
    stop_nbdcrypt
    : >"$copy"
done
kill "$other_pid"
wait "$other_pid"
cmp "$sectors" "$folder/default" || fail "ondemand keeps something else in its file"

# An interpreter works once in a process, also for another copy of the plugin.
sentence="the plugin needs $(readelf -d "$(nbdkit python --dump-plugin | sed -n 's/^path=//p')" | grep -o 'libpython[^]]*'), which works once in a process"
cp "$(nbdkit python --dump-plugin | sed -n 's/^path=//p')" "$test_dir/python-again.so"
for second in python "$test_dir/python-again.so"; do
    expect_failure 1 "image 'nbdkit:$second?$test_dir/disk.py': $sentence, and the plugin 'python' of another export has it; \
serve this one by a server of its own" serve --strict --unix "$(temp_socket)" --export "a=nbdkit:python?$test_dir/disk.py,raw" \
        --export "b=nbdkit:$second?$test_dir/disk.py,raw"
done

# ---- what they fail with ----

# Offset 512 * n of the disk fails with the n-th of these.
cat >"$test_dir/script" <<'SCRIPT_END'
case $1 in
get_size) echo 1M ;;
can_write | can_flush | can_trim | can_zero) exit 0 ;;
thread_model) echo parallel ;;
pread | trim | zero)
    set -- "$1" "$2" "$3" "$4" EIO ENOSPC EPERM EINVAL ENOMEM ESHUTDOWN ENOTSUP EROFS
    shift $((4 + $4 / 512))
    echo "$1 owls of $1" >&2
    exit 1 ;;
flush) exit 1 ;;
*) exit 2 ;;
esac
SCRIPT_END
chmod +x "$test_dir/script"
start_nbdcrypt --raw "nbdkit:sh?$test_dir/script"
python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    for command in (CMD_READ, CMD_TRIM, CMD_WRITE_ZEROES):
        for i, number in enumerate((EIO, ENOSPC, EPERM, EINVAL, ENOMEM, ESHUTDOWN)):
            equal(f"command {command}, {i}", client.error_of(command, i * 512, 512, 0), number)
    equal("READ, EROFS", client.error_of(CMD_READ, 7 * 512, 512, 0), EPERM)
    equal("FLUSH without a reason", client.error_of(CMD_FLUSH, 0, 0, 0), EIO)
    client.disconnect()
PYTHON_END
kill "$pid"
status=0
wait "$pid" || status=$?
expect_equal "status where the last flush fails" 1 "$status"
for word in EIO ENOSPC EPERM EINVAL ENOMEM ESHUTDOWN; do
    expect_match "$server_log" "plugin sh: .*owls of $word"
done

start_nbdcrypt --raw 'nbdkit:full?size=1M'
expect_equal "WRITE to full" 28 "$(python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    print(client.error_of(CMD_WRITE, 0, 512, 0, bytes(512)))
PYTHON_END
)"
stop_nbdcrypt

start_nbdcrypt --raw "nbdkit:python?$test_dir/disk.py"
python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    client.write(0, b"owl" * 1024)
    equal("READ of sector 8", client.error_of(CMD_READ, 4096, 512, 0), ENOSPC)
    equal("READ of the others", client.read(0, 3072), b"owl" * 1024)
    client.disconnect()
PYTHON_END
stop_nbdcrypt
expect_match "$server_log" 'plugin python: .*owls in sector 8'
