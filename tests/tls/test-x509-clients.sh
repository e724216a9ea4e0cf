#!/bin/bash
# Clients with certificates attach a LUKS export, write to it and read it: libnbd, QEMU, fio.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires nbdcopy --version
requires qemu-img --version
requires qemu-io --version
requires fio --version
requires_python_module nbd

make_pki
plain=$(temp_file) image=$(temp_file) copy=$(temp_file)
make_pattern "$plain" 24M
format_luks2 "$image" 24M --sector-size 4096
start_tls_nbdcrypt --key-file "$passphrase" "$image"

# libnbd, on several connections.
nbdcopy --connections=4 "$plain" "$(x509_uri client)"
nbdcopy --connections=4 "$(x509_uri client)" "$copy"
cmp "$plain" "$copy"
nbdinfo "$(x509_uri client)" >"$log_dir/nbdinfo"
expect_match "$log_dir/nbdinfo" 'newstyle-fixed with TLS'
expect_match "$server_log" 'TLS1\.3, AES-(128|256)-GCM.*, certificate CN=vm7$|TLS1\.3, CHACHA20'

# A certificate that is longer than the server's first receive.
nbdinfo --size "$(x509_uri large)" >/dev/null

# By name, as programs do it.
python "$source_dir/tests/tls/x509-clients.py" "$port" "$pki/client" </dev/null

# QEMU.
qemu_x509 client
qemu-img convert "${qemu_options[@]}" -n -f raw "$plain" --target-image-opts "$qemu_image"
qemu-img compare "${qemu_options[@]}" --image-opts "driver=raw,file.driver=file,file.filename=$plain" "$qemu_image"
qemu-io "${qemu_options[@]}" --image-opts "$qemu_image" -c 'write -P 7 12345 70000' -c 'read -P 7 12345 70000' \
    -c 'write -z 1M 1M' -c 'read -P 0 1M 1M' -c flush >"$log_dir/qemu-io" 2>&1
! grep -qi 'fail\|error' "$log_dir/qemu-io" || fail "qemu-io: $(cat "$log_dir/qemu-io")"

# fio takes the certificates from a folder of its user, and from /etc when that is root.
mkdir -p "$test_dir/home/.pki"
cp -r "$pki/client" "$test_dir/home/.pki/libnbd"
as_user=()
if [ "$(id -u)" -eq 0 ]; then
    as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chmod -R a+rX "$test_dir/home"
    chmod a+x "$test_dir"
fi
mkdir "$test_dir/fio"
chmod 777 "$test_dir/fio"
(cd "$test_dir/fio" && HOME=$test_dir/home "${as_user[@]+"${as_user[@]}"}" fio --name=verify --ioengine=nbd \
    --uri="nbds://localhost:$port/" --rw=randwrite --bsrange=512-256k --iodepth=16 --size=24M --verify=crc32c \
    --verify_fatal=1) >"$log_dir/fio" 2>&1
stop_nbdcrypt

# Only ciphertext is in the image: a part of what fio wrote last is not known, but the pattern of above is not there.
! grep -qaF 'by pythonby python' "$image" || fail "plaintext is in the image"
