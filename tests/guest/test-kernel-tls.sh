#!/bin/bash
# With --ktls on the kernel makes and opens the records of AES-GCM sessions of both versions of TLS: clients copy an
# encrypted disk to and from the server, both in the guest, and see nothing of it; the log and the kernel's own
# counters do.  Another cipher stays in user space.  With --ktls auto it does so where this program has no records of
# its own, and under TLS 1.3 only if it can change keys.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"
. "$(dirname "$0")/../support/tls.sh"

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
for session in on:TLS1.3:AES-128-GCM on:TLS1.3:AES-256-GCM on:TLS1.2:AES-256-GCM on:TLS1.3:CHACHA20-POLY1305 \
    auto:TLS1.3:AES-128-GCM auto:TLS1.2:AES-256-GCM; do
    version=${session#*:}
    before=$(counter TlsRxSw)
    priority="SECURE128:-VERS-ALL:+VERS-${version%:*}:-CIPHER-ALL:+${session##*:}:-MAC-ALL:+AEAD:%PROFILE_MEDIUM"
    nbdcrypt serve --verbose --listen 127.0.0.1:10809 --ktls "${session%%:*}" --tls-certificates /pki/server --key-file /key \
        --tls-priority "$priority" \
        /disk.luks >/ready 2>/log &
    server=$!
    wait_for /ready "$server" /log
    dd if=/dev/urandom of=/pattern bs=1M count=1 conv=notrunc 2>/dev/null
    timeout 60 nbdcopy --flush --connections=2 /pattern "$uri"
    rm -f /copy
    timeout 60 nbdcopy --connections=2 "$uri" /copy
    cmp /pattern /copy
    timeout 60 nbdinfo "$uri" >/info
    kill "$server"
    wait "$server"
    echo "$session: $(grep -c ', kernel TLS$' /log || true) in the kernel, it counts $(($(counter TlsRxSw) - before))," \
        "$(grep -c ', user space$' /log || true) not"
    ! grep -E 'dropped|vanished|broke|lost' /log || exit 1
    rm /ready
    grep 'TLS records' /log
done
echo "errors of deciphering: $(counter TlsDecryptError)"
END
# What this program does faster by itself, or what would break when keys change.
here='TLS records: AES-GCM of TLS 1\.3 by vaes|with keys that can.t be changed$'
for session in on:TLS1.3:AES-128-GCM on:TLS1.3:AES-256-GCM on:TLS1.2:AES-256-GCM auto:TLS1.3:AES-128-GCM \
    auto:TLS1.2:AES-256-GCM; do
    if [ "${session%:*}" = auto:TLS1.3 ] && grep -qE "$here" "$guest_output"; then
        expect_message "$guest_output" "$session: 0 in the kernel, it counts 0, 0 not"
        continue
    fi
    expect_match "$guest_output" "^$session: ([1-9][0-9]*) in the kernel, it counts \\1, 0 not\$"
done
expect_match "$guest_output" '^on:TLS1.3:CHACHA20-POLY1305: 0 in the kernel, it counts 0, [1-9][0-9]* not$'
expect_message "$guest_output" "errors of deciphering: 0"
