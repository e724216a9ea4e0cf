#!/bin/bash
# Where a profile as docker's forbids io_uring, the server does not start and says why; what dist/container adds to the profile lets
# it in, and all that its sandbox takes.
. "$(dirname "$0")/../support/functions.sh"

requires jq --version
filter=$source_dir/dist/container/allow-io-uring.jq
printf '{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}' >"$test_dir/default.json"
jq --from-file "$filter" "$test_dir/default.json" >"$test_dir/nbdcrypt.json"
allowed() { jq -r '.syscalls[] | select(.action == "SCMP_ACT_ALLOW") | .names[]' "$test_dir/nbdcrypt.json"; }
# What systemd's unit lets in beyond the usual, too.
for call in read io_uring_setup io_uring_enter io_uring_register \
    $(sed -n 's/^SystemCallFilter=@system-service //p' "$source_dir/dist/systemd/nbdcrypt.service.in" | tr ' ' '\n' | grep -vx seccomp); do
    allowed | grep -qx "$call" || fail "the profile forbids $call"
done
# The page names what is there, and the server says what to do.
grep -q 'allow-io-uring.jq' "$source_dir/docs/nbdcrypt-service.7" || fail "the page does not name it"
cat >"$test_dir/forbid.py" <<'PYTHON'
import ctypes, os, struct, sys
# A filter that answers EPERM to io_uring_setup (425 everywhere), and lets the rest be.
program = b"".join(struct.pack("HBBI", *row) for row in [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)])
libc, code = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(program)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, struct.pack("HxxxxxxQ", 4, ctypes.addressof(code)), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
PYTHON
status=0
truncate -s 1M "$test_dir/image"
"$PYTHON" "$test_dir/forbid.py" "$NBDCRYPT" serve --raw --unix "$test_dir/s" "$test_dir/image" >"$log_dir/forbidden" 2>&1 || status=$?
expect_equal "status where io_uring is forbidden" 1 "$status"
expect_match "$log_dir/forbidden" 'io_uring is not available here .*in a container at its seccomp profile'

# The page's command has no word that podman refuses: limits are numbers, and a tmpfs knows these options.
sed -n '/^podman run/,/nbdcrypt$/p' "$source_dir/docs/nbdcrypt-service.7" >"$test_dir/command"
expect_match "$test_dir/command" '--ulimit memlock='
! grep -qE -e '--ulimit [a-z]+=[0-9:]*[^0-9: ]' "$test_dir/command" || fail "a limit is no number"
for option in $(sed -nE 's/.*--tmpfs [^:]*:([^ ]*).*/\1/p' "$test_dir/command" | tr , ' '); do
    [[ $option =~ ^(mode=.*|size=.*|U|ro|rw|noexec|nosuid|nodev)$ ]] || fail "podman knows no option '$option' of a tmpfs"
done

# A tree that something was built in gives its sources alone: configure refuses one that is configured, and make takes objects as it
# finds them.
for built in config.status '**/*.o' '**/*.a' '**/.deps'; do
    grep -qxF "$built" "$source_dir/.dockerignore" || fail "the image would be built with $built of this machine"
done
