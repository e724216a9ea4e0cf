#!/bin/bash
# nbdkit and qemu-nbd as servers, libnbd and QEMU as clients take the folders that `nbdcrypt tls init` makes, as they
# are; a client without a certificate, one of another authority, and a server of another name are refused.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls-peers.sh"

requires nbdkit --version
requires qemu-nbd --version
requires nbdcopy --version
disk=$(temp_file) work=$(temp_dir)
make_pattern "$disk" 2M
cd "$work"
"$NBDCRYPT" tls init pki --host localhost --host 127.0.0.1 --client alice >/dev/null
"$NBDCRYPT" tls init others --host localhost >/dev/null
"$NBDCRYPT" tls client pki 'bob é' --uri urn:example:bob --dns bob.example.org >/dev/null
mkdir nobody
cp pki/ca-cert.pem nobody/

# read_as CLIENT-FOLDER HOST: with libnbd and with QEMU.
read_as() {
    local folder=${1// /%20}

    folder=${folder//é/%C3%A9}

    rm -f copy
    nbdcopy "nbds://$2:$port/?tls-certificates=$folder" copy
    cmp copy "$disk"
    qemu-img compare -U --image-opts --object "tls-creds-x509,id=tls0,endpoint=client,dir=$1" \
        "driver=raw,file.filename=$disk" "driver=nbd,host=$2,port=$port,tls-creds=tls0" >>"$log_dir/qemu-img" 2>&1
}

expect_all_of_it() {
    read_as pki/clients/alice localhost
    read_as pki/clients/alice 127.0.0.1
    read_as 'pki/clients/bob é' localhost
    expect_refused nbdinfo "nbds://localhost:$port/?tls-certificates=nobody"
    expect_refused nbdinfo "nbds://localhost:$port/?tls-certificates=others/clients/client"
}

serve_by_nbdkit "$disk" --tls-certificates=pki/server --tls-verify-peer
expect_all_of_it
end_peer
serve_by_qemu_nbd "$disk" tls-creds-x509,dir=pki/server,verify-peer=on
expect_all_of_it
end_peer

note "after a renewal clients go on with what they have"
before=$(sha256_of pki/server/server-key.pem)
"$NBDCRYPT" tls server pki >/dev/null
[ "$before" != "$(sha256_of pki/server/server-key.pem)" ] || fail "the server has its old key"
serve_by_nbdkit "$disk" --tls-certificates=pki/server --tls-verify-peer
expect_all_of_it
end_peer

note "a server of another name is refused"
"$NBDCRYPT" tls server pki --host elsewhere.example.org --host '*.example.net' >/dev/null
serve_by_nbdkit "$disk" --tls-certificates=pki/server
expect_refused nbdinfo "nbds://localhost:$port/?tls-certificates=pki/clients/alice"
end_peer
