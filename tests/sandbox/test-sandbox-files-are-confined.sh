#!/bin/bash
# With --sandbox-image-paths, and with `strict`, images that are added later are below these folders, or refused with a
# sentence; key-commands, detached headers and resumed exports go on as without.

. "$(dirname "$0")/../support/functions.sh"
unset TEST_SANDBOX

[ "$("$PYTHON" -c 'import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))')" -ge 1 ] || skip "this kernel has no Landlock"

inside=$(temp_dir) outside=$(temp_dir) control=$test_dir/control
plain=$(temp_file)
make_pattern "$plain" 1M
encrypt_to_luks2 "$plain" "$inside/luks"
cp "$plain" "$inside/raw"
cp "$plain" "$outside/raw"
ln -s "$outside/raw" "$inside/link"
cp "$plain" "$inside/first"

ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}

# refuse NAME IMAGE: it is outside, and that is told.
refuse() {
    ! ctl add "$@" raw=yes 2>"$test_dir/refused" || fail "$2 was opened"
    grep -q "image '$2': it is outside of what the sandbox of this server lets be opened: name its folder in --sandbox-image-paths" \
        "$test_dir/refused" || fail "it said: $(cat "$test_dir/refused")"
}

check() {
    start_nbdcrypt --control "$control" "$@" --sandbox-programs /bin/cat --export first="$inside/first,raw"
    ctl add raw "$inside/raw" raw=yes
    ctl add luks "$inside/luks" "key-command=/bin/cat $passphrase"
    expect_image "$plain" "nbd+unix:///raw?socket=$socket"
    expect_image "$plain" "nbd+unix:///luks?socket=$socket"
    refuse outside "$outside/raw"
    refuse link "$inside/link"
    ! ctl add none "$inside/none" raw=yes 2>"$test_dir/refused" || fail "what is not there was opened"
    expect_match "$test_dir/refused" "No such file or directory"
    # What was replaced, as tools do that write a new file.
    ctl remove raw
    cp "$plain" "$inside/new"
    mv "$inside/new" "$inside/raw"
    ctl add raw "$inside/raw" raw=yes
    expect_image "$plain" "nbd+unix:///raw?socket=$socket"
    ctl suspend luks
    ctl resume luks
    expect_image "$plain" "nbd+unix:///luks?socket=$socket"
    stop_nbdcrypt
    [ ! -e "$socket" ] || fail "the socket is still there"
}

check --sandbox-image-paths "$inside"
if ! is_sanitized; then # they have no filter of system calls, and so no strict
    check --sandbox strict
    check --sandbox strict --sandbox-image-paths "$inside /dev"
fi

# ---- what makes no sense ----

expect_failure 1 "the sandbox can't allow '$test_dir/none': No such file or directory" \
    serve --sandbox-image-paths "$test_dir/none" --raw --unix "$(temp_socket)" memory:1M
expect_failure 2 "--sandbox-image-paths: 'images' is not a whole path, from / on" \
    serve --sandbox-image-paths images --raw memory:1M
expect_failure 2 "--sandbox-connect: '1-0' is no port such as 10809, and no range such as 6800-7300" \
    serve --sandbox-connect "10809 1-0" --raw memory:1M
expect_failure 2 "--sandbox off and --sandbox-connect contradict each other: leave out one of the two" \
    serve --sandbox off --sandbox-connect 10809 --raw memory:1M
expect_failure 2 "--sandbox takes auto, strict or off, and not 'on'" serve --sandbox on --raw memory:1M
