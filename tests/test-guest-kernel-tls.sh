#!/bin/bash
# With --ktls on the kernel makes and opens the records of AES-GCM sessions of both versions of TLS: clients copy an
# encrypted disk to and from the server, both in the guest, and see nothing of it; the log and the kernel's own
# counters do.  Another cipher stays in user space.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/guest.sh"
. "$(dirname "$0")/tls.sh"

requires cryptsetup --version
requires nbdcopy --version
requires nbdinfo --version
make_pki
pattern=$(temp_file)
make_pattern "$pattern" 2M
format_luks2 "$test_dir/disk.luks" 2M --sector-size 4096
guest_add "$NBDCRYPT" /usr/bin/nbdcrypt
guest_add "$(command -v nbdcopy)" /usr/bin/nbdcopy
guest_add "$(command -v nbdinfo)" /usr/bin/nbdinfo
guest_add "$pki/server" /pki/server
guest_add "$pki/client" /pki/client
guest_add "$passphrase" /key
guest_add "$test_dir/disk.luks" /disk.luks
guest_add "$pattern" /pattern

guest_run -- <<'END' || fail "in the guest: $(cat "$guest_output")"
trap 'cat /log' EXIT
counter() {
    sed -n "s/^$1[[:space:]]*//p" /proc/net/tls_stat
}
uri='nbds://localhost/?tls-certificates=/pki/client'
for session in TLS1.3:AES-128-GCM TLS1.3:AES-256-GCM TLS1.2:AES-256-GCM TLS1.3:CHACHA20-POLY1305; do
    before=$(counter TlsRxSw)
    priority="SECURE128:-VERS-ALL:+VERS-${session%:*}:-CIPHER-ALL:+${session#*:}:-MAC-ALL:+AEAD:%PROFILE_MEDIUM"
    nbdcrypt serve --verbose --listen 127.0.0.1:10809 --ktls on --tls-certificates /pki/server --key-file /key \
        --tls-priority "$priority" \
        /disk.luks >/ready 2>/log &
    server=$!
    while [ ! -s /ready ]; do sleep 0.05; done
    dd if=/dev/urandom of=/pattern bs=1M count=1 conv=notrunc 2>/dev/null
    nbdcopy --flush --connections=2 /pattern "$uri"
    rm -f /copy
    nbdcopy --connections=2 "$uri" /copy
    cmp /pattern /copy
    nbdinfo "$uri" >/info
    kill "$server"
    wait "$server"
    echo "$session: $(grep -c ', kernel TLS$' /log || true) in the kernel, it counts $(($(counter TlsRxSw) - before))," \
        "$(grep -c ', user space$' /log || true) not"
    ! grep -E 'dropped|vanished|broke|lost' /log
    rm /ready
done
echo "errors of deciphering: $(counter TlsDecryptError)"
END
for session in TLS1.3:AES-128-GCM TLS1.3:AES-256-GCM TLS1.2:AES-256-GCM; do
    expect_match "$guest_output" "^$session: ([1-9][0-9]*) in the kernel, it counts \\1, 0 not\$"
done
expect_match "$guest_output" '^TLS1.3:CHACHA20-POLY1305: 0 in the kernel, it counts 0, [1-9][0-9]* not$'
expect_message "$guest_output" "errors of deciphering: 0"
