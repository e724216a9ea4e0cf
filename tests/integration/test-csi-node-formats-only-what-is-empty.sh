#!/bin/bash
# The example of a CSI node plugin formats a disk of which blkid says for certain that it is empty: not one that can't be read, of
# which blkid says the same.
. "$(dirname "$0")/../support/functions.sh"

requires flock --version
mkdir "$test_dir/bin" "$test_dir/unreadable"
truncate --size=8M "$test_dir/empty"
export XDG_RUNTIME_DIR=$test_dir CALLS=$test_dir/calls PATH=$test_dir/bin:$PATH
cat >"$test_dir/bin/nbdcrypt" <<'STUB'
#!/bin/sh
[ "$1" != attach ] || printf '{ "device": "%s" }\n' "$DEVICE"
STUB
printf '#!/bin/sh\nexit 2\n' >"$test_dir/bin/blkid"
# shellcheck disable=SC2016 # for the shell of that
printf '#!/bin/sh\necho "${0##*/}" >>"$CALLS"\n' | tee "$test_dir/bin/mkfs.ext4" >"$test_dir/bin/mount"
chmod +x "$test_dir"/bin/*

# stage DEVICE: the calls that change something.
stage() {
    : >"$CALLS"
    DEVICE=$1 sh "$source_dir/examples/csi-node" stage pvc /image "$test_dir/staging" 3</dev/null >"$log_dir/stage" 2>&1 || true
    tr '\n' ' ' <"$CALLS"
}
expect_equal "calls with an empty disk" 'mkfs.ext4 mount ' "$(stage "$test_dir/empty")"
expect_equal "calls with a disk that can't be read" '' "$(stage "$test_dir/unreadable")"
expect_match "$log_dir/stage" "pvc can't be read"
