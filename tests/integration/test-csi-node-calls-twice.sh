#!/bin/bash
# The example of a CSI node plugin against a server, without the kernel's NBD client: each call twice, calls out of their
# order, over a restart of the server, and with the key in no argument and no file of its own.
. "$(dirname "$0")/../support/functions.sh"

requires nbdcopy --version
requires qemu-io --version
requires flock --version

csi=$source_dir/examples/csi-node
work=$(temp_dir) control=$(temp_socket) socket=$(temp_socket)
export XDG_RUNTIME_DIR=$work
mkdir "$work/bin"
ln -s "$(realpath "$NBDCRYPT")" "$work/bin/nbdcrypt"
PATH=$work/bin:$PATH
image=$work/disk
"$NBDCRYPT" format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 4M "$image" >/dev/null
start() { start_nbdcrypt --control "$control" --unix "$socket" --export "first=memory:1M,raw"; }

# node STATUS CALL OPERAND...: the key comes by a descriptor.
node() {
    local expected=$1 code=0

    shift
    "$csi" --how uri --control "$control" --unix "$socket" "$@" 3<"$passphrase" >"$test_dir/out" 2>"$test_dir/err" || code=$?
    expect_equal "status of '$*', which said $(cat "$test_dir/err")" "$expected" "$code"
}
bytes() { sed -n 's/^total //p' "$test_dir/out"; }

start
target=$work/target
node 5 publish pvc "$work/staging" "$target" # NOT_FOUND
node 0 unstage pvc "$work/staging"
node 0 unpublish "$target"
node 13 stage pvc "$work/nothing" "$work/staging"
for _ in once twice; do
    node 0 stage pvc "$image" "$work/staging"
done
for _ in once twice; do
    node 0 publish pvc "$work/staging" "$target"
done
disk_uri=$(cat "$target")
expect_equal "uri" "nbd+unix:///pvc?socket=$socket" "$disk_uri"
make_pattern "$work/plain" 4M
nbdcopy "$work/plain" "$disk_uri"
nbdcopy "$disk_uri" - | cmp - "$work/plain"
node 13 stage pvc "$image.other" "$work/staging" # another volume of that name

# ---- the server is killed: whoever has the key stages it again ----
kill_nbdcrypt
node 14 stage pvc "$image" "$work/staging" # UNAVAILABLE
node 14 publish pvc "$work/staging" "$target"
node 14 stats pvc "$work/staging"
node 0 unstage gone "$work/staging"
start
node 5 publish pvc "$work/staging" "$target"
node 0 stage pvc "$image" "$work/staging"
nbdcopy "$disk_uri" - | cmp - "$work/plain"

# ---- larger ----
node 0 stats pvc "$work/staging"
expect_equal "size" $((4 << 20)) "$(bytes)"
truncate --size=+4M "$image"
for _ in once twice; do
    node 0 expand pvc "$work/staging"
done
node 0 stats pvc "$work/staging"
expect_equal "size" $((8 << 20)) "$(bytes)"

# ---- two at a time ----
expect_equal "mode of the lock, which others must not hold" 600 "$(stat -c %a "$work/csi-node.pvc.lock")"
exec {lock}>"$work/csi-node.pvc.lock"
flock "$lock"
node 10 unstage pvc "$work/staging" # ABORTED
exec {lock}>&-

for _ in once twice; do
    node 0 unpublish "$target"
done
for _ in once twice; do
    node 0 unstage pvc "$work/staging"
done
[ ! -e "$target" ] || fail "the target is left"
node 0 stage pvc "$image" "$work/staging"
nbdcopy "$disk_uri" "$work/read"
cmp -n $((4 << 20)) "$work/read" "$work/plain"
node 0 unstage pvc "$work/staging"
node 5 stats pvc "$work/staging" # NOT_FOUND
expect_equal "what it printed" "" "$(cat "$test_dir/out")"

# ---- wrong calls ----
wrong() { # SENTENCE OPERAND...
    local sentence=$1

    shift
    status=0
    "$csi" "$@" 2>"$test_dir/err" || status=$?
    expect_equal "status of '$*'" 3 "$status" # INVALID_ARGUMENT
    expect_equal "words of '$*'" "csi-node: $sentence" "$(cat "$test_dir/err")"
}
wrong "there is no call 'stagger': it is stage, publish, unpublish, unstage, expand or stats" stagger pvc
wrong "there is no call '': it is stage, publish, unpublish, unstage, expand or stats"
wrong "stage takes more operands: 3 at least" stage pvc "$image"
wrong "unpublish takes more operands: 1 at least" unpublish
wrong "there is no option '--how device'" --how device unstage pvc "$work/staging"
wrong "--how takes a value, and stands before the call" --how
(export XDG_RUNTIME_DIR=$work/nowhere && node 7 unstage pvc "$work/staging") # PERMISSION_DENIED
stop_nbdcrypt

! grep -rqaF "$(cat "$passphrase")" "$log_dir" "$work" --exclude=disk --exclude=plain --exclude=read || fail "the key is somewhere"
