#!/bin/bash
# Clients with pre-shared keys attach a LUKS export and get AES-128-GCM: libnbd, QEMU.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires nbdcopy --version
requires qemu-img --version

make_psk
plain=$(temp_file) image=$(temp_file) copy=$(temp_file)
make_pattern "$plain" 8M
encrypt_to_luks2 "$plain" "$image"
start_tls_nbdcrypt --tls-psk "$psk" --key-file "$passphrase" "$image"

nbdcopy "$(psk_uri alice)" "$copy"
cmp "$plain" "$copy"
nbdcopy "$plain" "$(psk_uri bob)"
qemu_psk alice
qemu-img compare "${qemu_options[@]}" --image-opts "driver=raw,file.driver=file,file.filename=$plain" "$qemu_image"
qemu-io "${qemu_options[@]}" --image-opts "$qemu_image" -c 'write -P 7 4000 200000' -c 'read -P 7 4000 200000' \
    >"$log_dir/qemu-io"

# Both at once: each client uses what it has.
stop_nbdcrypt
for who in alice bob; do
    expect_match "$server_log" "TLS1\.3, .*, PSK identity $who\$"
done
! grep -q 'no Diffie-Hellman' "$server_log" || fail "a session has no forward secrecy"
if grep -qw aes /proc/cpuinfo; then
    expect_match "$server_log" 'TLS1\.3, AES-128-GCM( \(vaes-[a-z0-9]+\))?, [A-Z0-9]+, PSK identity alice$'
    ! grep -q 'CHACHA20' "$server_log" || fail "a session uses ChaCha20"
fi

make_pki
start_tls_nbdcrypt --tls-psk "$psk" --tls-certificates "$pki/server" --raw "$plain"
nbdinfo --size "$(psk_uri alice)" >/dev/null
nbdinfo --size "$(x509_uri client)" >/dev/null
! nbdinfo --size "$(x509_uri no-certificate)" 2>/dev/null || fail "a client without certificate is served"
stop_nbdcrypt
