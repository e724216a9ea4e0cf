#!/bin/bash
# A key comes from a file, a part of it, standard input, a descriptor, a program, a credential of systemd or the
# kernel's keyring; two sources at once are refused; a program that fails is quoted, and gets neither a shell, nor
# open files, nor the whole environment.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

image=$(temp_file)
format_luks2 "$image" 1M
secret=$(<"$passphrase")

opens() {
    expect_success key test "$@" "$image"
    expect_message "$out" "This key opens keyslot 0 of $image."
}

# A part of a file, as cryptsetup takes it.
part=$(temp_file)
printf 'in front%sbehind' "$secret" >"$part"
opens --key-file "$part" --key-offset 8 --key-size ${#secret}
expect_failure 1 "the key has 42 bytes: key-offset 100 leaves nothing of it" key test --key-file "$part" --key-offset 100 "$image"
expect_failure 1 "the key has 34 bytes behind key-offset, fewer than key-size 35" \
    key test --key-file "$part" --key-offset 8 --key-size 35 "$image"

# A descriptor, a credential.
exec {descriptor}<"$passphrase"
opens --key-fd "$descriptor"
exec {descriptor}<&-
# One that nobody handed down is no key, whatever the program opens under its number; nor is one that was read before.
for fd in 3 4 5 6 7 8 9 999; do
    exec {fd}<&-
    why="Bad file descriptor: whoever starts this program has to open it, as a shell does with $fd<FILE"
    expect_failure 2 "--key-fd $fd: $why" key test --key-fd "$fd" "$image"
    expect_failure 2 "--new-key-fd $fd: $why" key add --key-file "$passphrase" --new-key-fd "$fd" "$image"
    expect_failure 2 "--key-fd $fd: $why" format --key-fd "$fd" --size 1M "$test_dir/new"
    expect_failure 2 "--key-fd $fd: $why" serve --key-fd "$fd" --unix "$test_dir/socket" "$image"
    expect_failure 2 "export 'a': key-fd $fd: $why" serve --unix "$test_dir/socket" --export "a=$image,key-fd=$fd"
done
[ ! -e "$test_dir/new" ] || fail "a disk was made without a key"
exec {descriptor}<"$passphrase"
expect_failure 1 "file descriptor $descriptor can't be used as the key: it has been read and closed already" \
    key add --key-fd "$descriptor" --new-key-fd "$descriptor" --pbkdf pbkdf2 --pbkdf-iterations 1000 "$image"
exec {descriptor}<&-
export CREDENTIALS_DIRECTORY=$test_dir/credentials
mkdir "$CREDENTIALS_DIRECTORY"
cp "$passphrase" "$CREDENTIALS_DIRECTORY/disk"
opens --key-credential disk
expect_failure 1 "key file '$CREDENTIALS_DIRECTORY/other' can't be opened: No such file or directory" \
    key test --key-credential other "$image"
unset CREDENTIALS_DIRECTORY
expect_failure 1 "credential 'disk': there is no CREDENTIALS_DIRECTORY in the environment; systemd sets it for a unit \
with LoadCredential=disk:FILE" key test --key-credential disk "$image"

# A program: words, no shell.
opens --key-command "cat '$passphrase'"
opens --key-command "printf %s \"$secret\""
expect_failure 1 "key command: 'cat' failed with exit status 1: cat: /does/not/exist: No such file or directory" \
    key test --key-command 'cat /does/not/exist' "$image"
expect_failure 1 "key command: '/no/such/program' can't be started: No such file or directory" \
    key test --key-command '/no/such/program x' "$image"
expect_failure 1 "key command: 'true' printed nothing" key test --key-command true "$image"
expect_failure 1 "key command: 'sh' was killed by signal 9 (Killed)" \
    key test --key-command "sh -c 'kill -9 \$\$'" "$image"
expect_failure 1 "key command: 'sh' failed with exit status 3: a?b" \
    key test --key-command "sh -c 'printf \"a\\033b\\nsecond\" >&2; exit 3'" "$image"
# So much can be locked by root, or by who may.
[ "$(id -u)" -ne 0 ] || expect_failure 1 "key command: 'yes' prints more than 8388608 bytes, which is too much for a key" \
    key test --key-command yes "$image"
# shellcheck disable=SC2016 # that is the point
expect_failure 1 "image '$image': no keyslot opens with this key" key test --key-command 'printf %s $HOME' "$image"
# One that goes on in the background does not hold it up.
opens --key-command "sh -c 'cat $passphrase; sleep 50 & '"

# What it finds: no terminal or input, no other files, not the environment, default signals.
found=$(temp_file)
cat >"$test_dir/look" <<EOF
#!/bin/sh
{
    ls /proc/self/fd | wc -l
    env | sed 's/=.*//' | sort | tr '\\n' ' '
    grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\t\\n'
    readlink /proc/self/fd/0
} >$found
cat $passphrase
EOF
chmod +x "$test_dir/look"
exec {descriptor}<"$passphrase"
MY_TOKEN=hidden LANG=C opens --key-command "$test_dir/look"
exec {descriptor}<&-
if ! is_sanitized; then
    # 0, 1, 2 and the folder that ls has open
    expect_equal "open files" 4 "$(head -n 1 "$found")"
fi
if grep -q MY_TOKEN "$found"; then fail "the environment got through: $(cat "$found")"; fi
expect_match "$found" ' PATH '
# 32 and 33 belong to the C library.
expect_match "$found" 'SigBlk:0000000000000000SigIgn:0000000[01][08]0000000'
expect_match "$found" '^.*/dev/null$'

# serve, with a key of its own for each export; format and change.
copy=$(temp_file)
cp "$image" "$copy"
start_nbdcrypt --export "a=$image,key-command=cat $passphrase" \
    --export "b=$copy,key-file=$part,key-offset=8,key-size=${#secret}"
stop_nbdcrypt
second=$(temp_file)
rm "$second"
expect_success format --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 1M --key-command "cat $passphrase" "$second"
expect_success key change --pbkdf pbkdf2 --pbkdf-iterations 1000 --key-file "$passphrase" \
    --new-key-command 'printf changed' "$second"
expect_success key test --key-command 'printf changed' "$second"

# What makes no sense.
expect_failure 2 "--key-file and --key-command can't both be used: leave out one of the two" \
    key test --key-file x --key-command y "$image"
expect_failure 2 "--new-key-fd and --new-key-credential can't both be used: leave out one of the two" \
    key add --new-key-fd 3 --new-key-credential y "$image"
expect_failure 2 "--key-command: a quotation mark in it has no partner" serve --key-command "a 'b" "$image"
expect_failure 2 "--key-size is for a key that is not typed: give --key-file, too" format --key-size 5 "$image"
expect_failure 2 "export 'a': key-credential 'x/y': a credential has a name without a slash" \
    serve --export "a=$image,key-credential=x/y"
expect_failure 2 "--key-command is used by no export: leave it out" \
    serve --key-command "cat x" --export "a=$image,key-file=y"

# The keyring, where there is one.
python - "$NBDCRYPT" "$image" "$passphrase" <<'EOF'
import ctypes
import subprocess
import sys

program, image, passphrase = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
SYS_ADD_KEY, SYS_KEYCTL, JOIN_SESSION, SESSION = 248, 250, 1, -3
secret = open(passphrase, "rb").read()
if libc.syscall(SYS_KEYCTL, JOIN_SESSION, None) < 0 or libc.syscall(
        SYS_ADD_KEY, b"user", b"nbdcrypt:test", secret, len(secret), SESSION) < 0:
    print("no keyring here: error", ctypes.get_errno(), "(not tested)", file=sys.stderr)
    raise SystemExit


def test(description):
    return subprocess.run([program, "key", "test", "--key-keyring", description, image],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


good, missing = test("nbdcrypt:test"), test("nbdcrypt:none")
if good.returncode != 0 or "keyslot 0" not in good.stdout:
    raise SystemExit(good.stderr)
expected = ("nbdcrypt: there is no user key 'nbdcrypt:none' in the keyrings of this process; keyctl padd user "
            "'nbdcrypt:none' @u makes one\n")
if missing.returncode != 1 or missing.stderr != expected:
    raise SystemExit(missing.stderr)
EOF
