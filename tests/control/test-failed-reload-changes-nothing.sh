#!/bin/bash
# Whichever call of a reload fails, for lack of memory, descriptors or threads or for a file that can't be read: either it is done
# all the same, or it is refused, what ctl shows is as it was, the client at work sees nothing, and the next reload succeeds.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"

[ -z "${SANITIZERS-}" ] || skip "a sanitizer counts and fails calls of its own"
preload=$(realpath "${top_builddir:-.}/tests/support/failing-calls.so")
[ -e "$preload" ] || fail "tests/support/failing-calls.so was not built"
folder=$(temp_dir) control=$(temp_socket) order=$(temp_file)
chmod 755 "$folder"
umask 022
for name in stays goes changes; do
    truncate --size=1M "$folder/$name"
done
format_luks2 "$folder/luks" 1M
make_pki
before=$pki
make_pki
cat >"$folder/before" <<END
[server]
unix = $folder/stays.sock
threads = 2
[tls]
certificates = $before/server
mode = on
[control]
socket = $control
[export stays]
image = $folder/stays
raw = yes
[export goes]
image = $folder/goes
raw = yes
[export changes]
image = $folder/changes
raw = yes
description = old
END
cat >"$folder/after" <<END
[server]
unix = $folder/stays.sock
unix = $folder/comes.sock
listen = 127.0.0.1:0
threads = 2
log-level = info
max-connections = 100
[tls]
certificates = $pki/server
mode = on
[control]
socket = $control
view = uid:0
operate = uid:0
admin = uid:0
admin = uid:$(id -u)
[limits tenant]
limit-iops = 10000
[export stays]
image = $folder/stays
raw = yes
[export changes]
image = $folder/changes
raw = yes
description = new
limit-group = tenant
limit-iops = 1000
allow = uid:0
[export comes]
image = $folder/luks
key-file = $passphrase
END
cp "$folder/before" "$folder/nbdcrypt.conf"
head -c 16 /dev/zero >"$order"

mkfifo "$test_dir/ready"
server_log=$log_dir/server
LD_PRELOAD=$preload FAILING_CALLS=$order "$NBDCRYPT" serve --config "$folder/nbdcrypt.conf" --sandbox off \
    </dev/null >"$test_dir/ready" 2>"$server_log" &
pid=$!
remember_pid "$pid"
wait_for_ready "$test_dir/ready"
"$PYTHON" "$(dirname "$0")/failed-reload-changes-nothing.py" "$folder" "$control" "$order" memory descriptors files threads
STRIDE=7 "$PYTHON" "$(dirname "$0")/failed-reload-changes-nothing.py" "$folder" "$control" "$order" library-memory
stop_nbdcrypt
