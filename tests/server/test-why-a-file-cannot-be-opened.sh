#!/bin/bash
# Who is told that a file can't be opened learns what to change: whose it is and who opens it, from which folder it is looked for, and
# which setting of systemd hides it.  `--read-only` is advised only to those who may read.
. "$(dirname "$0")/../support/functions.sh"

image=$test_dir/image
"$NBDCRYPT" format --pbkdf pbkdf2 --pbkdf-iterations 1000 --key-file "$passphrase" --size 1M "$image" >/dev/null
serve=(serve --raw --listen 127.0.0.1:0)

# ---- from which folder ----
cd "$test_dir"
expect_failure 1 "image 'nothing.raw': it can't be opened: No such file or directory; it is looked for from the folder '$test_dir' on" \
    "${serve[@]}" nothing.raw
expect_failure 1 "key file 'nothing.key' can't be opened: No such file or directory; it is looked for from the folder \
'$test_dir' on" serve --listen 127.0.0.1:0 --key-file nothing.key "$image"

# ---- who ----
# Root may read everything, so it tries as nobody.
own=$(id -u) uid=$own
if [ "$own" -eq 0 ]; then
    chmod 755 "$test_dir"
    uid=65534
    run_as=(setpriv "--reuid=$uid" "--regid=$uid" --clear-groups)
fi
if "${run_as[@]+"${run_as[@]}"}" "$NBDCRYPT" --version >/dev/null 2>&1; then
    chmod 444 "$image"
    expect_failure 1 "image '$image': it can't be opened for writing: Permission denied: it belongs to uid $own, and uid $uid is who \
opens it; --read-only serves it without" "${serve[@]}" "$image"
    chmod 000 "$image"
    expect_failure 1 "image '$image': it can't be opened: Permission denied: it belongs to uid $own, and uid $uid is who opens it" \
        "${serve[@]}" "$image"
    mkdir "$test_dir/folder"
    mv "$image" "$test_dir/folder/image"
    chmod 000 "$test_dir/folder"
    expect_failure 1 "image '$test_dir/folder/image': it can't be opened: Permission denied: uid $uid may not enter its folder" \
        "${serve[@]}" "$test_dir/folder/image"
    printf '[server]\nmay-be-empty = yes\n' >"$test_dir/nbdcrypt.conf"
    chmod 000 "$test_dir/nbdcrypt.conf"
    expect_failure 1 "$test_dir/nbdcrypt.conf: uid $uid may not read it" check --config "$test_dir/nbdcrypt.conf"
    chmod 700 "$test_dir/folder"
    mv "$test_dir/folder/image" "$image"
else
    note "nobody may not run $NBDCRYPT: whose a file is was not tried"
fi
chmod 600 "$image"
run_as=()

# ---- what systemd confines a service by ----
if unshare --mount --map-root-user true 2>/dev/null; then
    mkdir "$test_dir/readable"
    truncate --size=1M "$test_dir/readable/image"
    confined() {
        # shellcheck disable=SC2016 # they are of the other shell
        unshare --mount --map-root-user sh -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"' sh \
            "$test_dir/readable" "$@" 2>"$test_dir/confined" || true
        cat "$test_dir/confined"
    }
    image=$test_dir/readable/image
    refused="image '$image': it can't be opened for writing: Read-only file system"
    expect_equal "words of a service" "nbdcrypt: $refused, for this service: ReadWritePaths= in a drop-in of its unit opens it; --read-only \
serves it without" "$(confined env INVOCATION_ID=1 "$NBDCRYPT" "${serve[@]}" "$image")"
    expect_equal "words of others" "nbdcrypt: $refused; --read-only serves it without" \
        "$(confined env -u INVOCATION_ID "$NBDCRYPT" "${serve[@]}" "$image")"
else
    note "no mount namespace: what systemd hides was not tried"
fi
