#!/bin/bash
# gnutls-cli and openssl s_client, which verify the server's certificate by themselves, attach an encrypted export, write
# to it and read it back.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires gnutls-cli --version
requires openssl version
requires qemu-img --version

make_pki
plain=$(temp_file) image=$(temp_file)
format_luks2 "$image" 1M --sector-size 4096

cp "$source_dir/tests/tls/command-line-clients.py" "$test_dir/client.py"

start_tls_nbdcrypt --key-file "$passphrase" --name disk "$image"
qemu_x509 client disk
for program in gnutls-cli openssl; do
    make_pattern "$plain" 1M "${#program}"
    # shellcheck disable=SC2154 # port is set by start_tls_nbdcrypt
    timeout 60 "$PYTHON" "$test_dir/client.py" "$program" "$port" "$pki/client" "$plain" || fail "$program failed"
    # Another client sees what it wrote.
    qemu-img compare "${qemu_options[@]}" --image-opts "driver=raw,file.driver=file,file.filename=$plain" "$qemu_image"
done
expect_equal "sessions" 4 "$(grep -c 'TLS1\.3, .*, certificate CN=vm7$' "$server_log")"
stop_nbdcrypt
