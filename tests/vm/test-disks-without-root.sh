#!/bin/bash
# An ordinary user has an encrypted disk as a file, and mounts its file system, as nbdcrypt-vm(7) says.
if [ "$(id -u)" -eq 0 ] && [ -z "${TEST_HAS_MOUNTS-}" ] && command -v unshare >/dev/null; then
    export TEST_HAS_MOUNTS=1 # of its own, for what stands below
    exec unshare --mount --propagation private bash "$0" "$@"
fi
. "$(dirname "$0")/../support/functions.sh"
as_user=()
if [ "$(id -u)" -eq 0 ]; then
    as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent)
    recipe_uid=65534 recipe_group=$(getent group 65534 | cut -d : -f 1)
fi
recipe_size=16M
. "$(dirname "$0")/../support/vm-recipes.sh"

PATH=$PATH:/usr/sbin:/sbin
requires nbdfuse --version
requires command -v fuse2fs
requires command -v fusermount3
requires command -v mkfs.ext4
[ -c /dev/fuse ] || skip "there is no /dev/fuse"
# Where nobody but root may open it, these mounts have one that all may.
if [ "$(id -u)" -eq 0 ] && [ "$(stat -c %a /dev/fuse)" != 666 ]; then
    { mknod "$test_dir/fuse" c 10 229 && chmod 666 "$test_dir/fuse" && mount --bind "$test_dir/fuse" /dev/fuse; } ||
        skip "nobody but root may open /dev/fuse"
fi
"${as_user[@]}" test -w /dev/fuse || skip "this user may not open /dev/fuse"
"${as_user[@]}" true <>/dev/fuse || skip "this user can't open /dev/fuse"

make_server_of_page
serve_page
mkdir "$test_dir/content" "$root/user"
echo "in an encrypted disk" >"$test_dir/content/file"
truncate -s "$recipe_size" "$test_dir/plain"
mkfs.ext4 -q -d "$test_dir/content" "$test_dir/plain"
if [ "$(id -u)" -eq 0 ]; then
    chmod a+x "$test_dir" # what is secret in it is for root only
    chown 65534:65534 "$root/user"
fi

# users_recipe NAME: what it leaves in the background goes on.
users_recipe() {
    recipe "$1" >"$test_dir/$1.sh"
    (cd "$root/user" && timeout 60 "${as_user[@]}" bash -eu <"$test_dir/$1.sh") >"$log_dir/$1" 2>&1
}
clean_up_test() {
    local folder

    for folder in "$root"/user/{files,disk}; do
        if mountpoint -q "$folder" || ! stat "$folder" >/dev/null; then "${as_user[@]}" fusermount3 -uz "$folder"; fi
    done 2>/dev/null
}
is_there() { "${as_user[@]}" test -s "$root/user/disk/data3"; }
"${as_user[@]}" nbdcopy "$test_dir/plain" "nbd+unix:///data3?socket=$root/run/nbdcrypt/nbd.sock"
users_recipe fuse
wait_until 30 is_there
users_recipe fuse-mount || fail "$(cat "$log_dir/fuse-mount")"
expect_match "$log_dir/fuse-mount" '^file$'
expect_equal "what the file has" "in an encrypted disk" "$("${as_user[@]}" cat "$root/user/files/file")"
users_recipe fuse-end
wait_until 30 users_recipe fuse-end-disk
stop_nbdcrypt
