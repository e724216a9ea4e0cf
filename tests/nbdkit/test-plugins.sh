#!/bin/bash
# Plugins of nbdkit as Debian has them are served: read, written, sparse, scripted, failing, two of a kind; and LUKS
# lies on them as on any other disk.
. "$(dirname "$0")/../support/functions.sh"

# What plugins of others, and the interpreters in them, do not give back is not ours.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"

requires nbdkit memory --dump-plugin
requires cryptsetup --version
requires nbdcopy --version

# expect_copy FILE: what the server gives is FILE, and stays so when written and read back.
expect_copy() {
    nbdcopy "$uri" "$copy"
    cmp "$1" "$copy"
}

plain=$(temp_file) copy=$(temp_file) disk=$(temp_file)
make_pattern "$plain" 8M

for image in nbdkit:memory?size=8M 'nbdkit:memory?8M&allocator=malloc' "nbdkit:file?$disk"; do
    truncate --size=8M "$disk"
    start_nbdcrypt --raw "$image"
    nbdcopy "$plain" "$uri"
    expect_copy "$plain"
    stop_nbdcrypt
done
cmp "$plain" "$disk"

# A description, a pattern.
start_nbdcrypt --raw 'nbdkit:data?data=0x41%200x42&size=2'
nbdcopy "$uri" "$copy"
expect_equal "what data gives" AB "$(cat "$copy")"
stop_nbdcrypt
start_nbdcrypt --raw 'nbdkit:pattern?size=1M'
nbdcopy "$uri" "$copy"
expect_equal "the last word of pattern" 00000000000ffff8 "$(tail -c 8 "$copy" | od -An -tx1 | tr -d ' \n')"
stop_nbdcrypt

# Two exports of one plugin do not share its variables.
start_nbdcrypt --export 'a=nbdkit:memory?size=1M,raw' --export 'b=nbdkit:memory?size=2M,raw'
python - "$socket" <<'PYTHON_END'
import sys
from nbd_client import *

for name, mib in (("a", 1), ("b", 2)):
    client = Client("nbd+unix:///%s?socket=%s" % (name, sys.argv[1]))
    equal("size", client.size, mib << 20)
    equal("zeros", client.read(0, 4096), bytes(4096))
    client.write(0, name.encode() * 4096)
    client.disconnect()
PYTHON_END
stop_nbdcrypt

# LUKS on a plugin; cryptsetup opens the file behind it.
truncate --size=0 "$disk"
truncate --size=24M "$disk"
expect_success format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 "nbdkit:file?$disk"
cryptsetup --disable-locks open --test-passphrase --key-file "$passphrase" "$disk"
start_nbdcrypt --key-file "$passphrase" --threads 2 "nbdkit:file?$disk"
nbdcopy "$plain" "$uri"
stop_nbdcrypt
start_nbdcrypt --key-file "$passphrase" --read-only "$disk"
nbdcopy "$uri" "$copy"
cmp --bytes=8388608 "$plain" "$copy"
stop_nbdcrypt

# A plugin's errno reaches the client, its message the log, and the connection goes on.
cat >"$test_dir/script" <<'SCRIPT_END'
case $1 in
get_size) echo 1M ;;
can_write) exit 0 ;;
pwrite) cat >/dev/null; echo 'ENOSPC the disk is full of owls' >&2; exit 1 ;;
pread) head -c "$3" /dev/zero ;;
*) exit 2 ;;
esac
SCRIPT_END
chmod +x "$test_dir/script"
start_nbdcrypt --raw "nbdkit:sh?$test_dir/script"
python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

client = Client(sys.argv[1])
equal("WRITE", client.error_of(CMD_WRITE, 0, 512, 0, b"x" * 512), ENOSPC)
equal("READ", client.read(0, 512), bytes(512))
client.disconnect()
PYTHON_END
stop_nbdcrypt
expect_match "$server_log" 'plugin sh: .*the disk is full of owls'

# What cannot be served is named.
run_nbdcrypt serve --raw --unix "$(temp_socket)" nbdkit:owl
expect_equal "status without the plugin" 1 "$status"
expect_match "$err" "there is no nbdkit plugin 'owl'"
run_nbdcrypt serve --raw --unix "$(temp_socket)" "nbdkit:$plain"
expect_match "$err" "the plugin can't be loaded"
run_nbdcrypt serve --raw --unix "$(temp_socket)" nbdkit:memory?size=owl
expect_equal "status of a bad parameter" 1 "$status"
expect_match "$err" 'the plugin failed in config'
