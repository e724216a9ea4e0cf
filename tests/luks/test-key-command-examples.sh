#!/bin/bash
# The examples of the man page that get a key from clevis (with tang), Vault, systemd-creds, a credential or a descriptor serve the
# disk as they stand there; what a program finds on its standard input is what --key-command-input says.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires command -v clevis-encrypt-tang
requires test -x /usr/libexec/tangd
requires command -v jose
requires curl --version
page=$source_dir/docs/nbdcrypt.1
cd "$test_dir"
export no_proxy='*'

format_luks2 disk.luks 1M
cp "$passphrase" key

words=()

# example TEXT: the one of the page that holds it, as words without "nbdcrypt serve".
example() {
    local line

    line=$(sed -e ':again; /\\e$/ { N; s/\\e\n */ /; b again }' "$page" | grep -F -- "$1" | grep '^nbdcrypt serve') ||
        fail "the page has no example with $1"
    line=${line#nbdcrypt serve}
    line=${line%% #*}      # a comment
    eval "words=(${line% [0-9]<*})" # a redirection is of the shell
}

serves() {
    start_nbdcrypt "$@"
    expect_equal "size" 1048576 "$(nbdinfo --size "$uri")"
    stop_nbdcrypt
}

# ---- clevis, with a tang server on a free port ----

mkdir tang
/usr/libexec/tangd-keygen tang
mkfifo tang-port
"$PYTHON" - >tang-port 2>"$log_dir/tang" <<'PYTHON_END' & # as inetd: one process for each connection
import socket
import subprocess

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    stream = listener.accept()[0]
    subprocess.run(["/usr/libexec/tangd", "tang"], stdin=stream, stdout=stream, timeout=60)
    stream.close()
PYTHON_END
remember_pid $!
read -r -t 60 port <tang-port || fail "tang did not start"
curl -sf "http://127.0.0.1:$port/adv" >adv.jws
clevis encrypt tang "{\"url\":\"http://127.0.0.1:$port\",\"adv\":\"adv.jws\"}" <key >key.jwe 2>"$log_dir/clevis"
example 'clevis decrypt'
serves "${words[@]}"
expect_failure 1 "key command: its standard input 'missing.jwe' can't be opened: No such file or directory" \
    key test --key-command 'clevis decrypt' --key-command-input missing.jwe disk.luks

# ---- Vault: a program that does what its "kv get" is documented to do ----

mkdir bin
cat >bin/vault <<'EOF_VAULT'
#!/bin/sh
[ "$VAULT_ADDR $*" = "https://vault.example.org kv get -field=key secret/disk" ] && exec cat key
echo "wrong: $VAULT_ADDR $*" >&2
exit 2
EOF_VAULT
chmod +x bin/vault
example 'vault kv get'
PATH=$PWD/bin:$PATH serves "${words[@]}"

# ---- systemd ----

# With a key that needs neither a TPM nor this machine's own; nothing is left on it.
if systemd-creds --with-key=auto-initrd --name=disk encrypt key disk.cred 2>"$log_dir/systemd-creds"; then
    example 'systemd-creds decrypt'
    serves "${words[@]}"
else
    note "not tried: systemd-creds can't encrypt here"
fi
mkdir credentials
cp key credentials/disk
example 'key-credential disk'
CREDENTIALS_DIRECTORY=$PWD/credentials serves "${words[@]}"

# ---- a descriptor, standard input ----

example 'key-fd 3'
serves "${words[@]}" 3<key
expect_success key test --key-command 'tail -c +4' --key-command-input <(printf '%s' "abc$(<key)") disk.luks
"$NBDCRYPT" key test --key-command cat --key-command-input - disk.luks <"$passphrase" >"$log_dir/stdin"
expect_success key add --key-file key --new-key-command cat --new-key-command-input adv.jws --pbkdf pbkdf2 --pbkdf-iterations 1000 disk.luks
expect_success key test --key-file adv.jws disk.luks
start_nbdcrypt --export "a=disk.luks,key-command=cat,key-command-input=key"
stop_nbdcrypt
expect_failure 2 "--key-command-input is for a program: give --key-command, too" key test --key-file key --key-command-input key disk.luks
