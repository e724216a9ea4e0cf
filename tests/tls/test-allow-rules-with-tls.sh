#!/bin/bash
# --allow with proof: clients with certificates and keys of `nbdcrypt tls` see and attach the exports that name them, and
# nothing tells them of the others.
. "$(dirname "$0")/../support/functions.sh"
requires nbdinfo --version
requires qemu-img --version

work=$(temp_dir)
cd "$work"
expect_success tls init pki --host localhost --client vm7
expect_success tls client pki vm8 --dns vm8.vms.example.org --uri spiffe://example.org/vm8
expect_success tls client pki vm9 --dns vm9.example.org --uri spiffe://example.org/vm8/more
mkdir -m 700 psk
expect_success tls psk psk/keys.psk alice
expect_success tls psk psk/keys.psk mallory

start_nbdcrypt --raw --verbose --listen 127.0.0.1:0 --tls-certificates pki/server --tls-psk psk/keys.psk \
    --allow cert:CN=vm7 --export common=memory:1M \
    --export dns=memory:2M,allow=dns:*.vms.example.org \
    --export uri=memory:3M,allow=uri:spiffe://example.org/vm8 \
    --export psk=memory:4M,allow=psk:alice \
    --export 'near=memory:5M,allow=cert:CN=vm7&net:127.0.0.0/8,allow=psk:alice&net:127.0.0.1' \
    --export 'far=memory:6M,allow=cert:CN=vm7&net:192.0.2.0/24,allow=psk:alice&net:192.0.2.0/24' \
    --export 'named-alike=memory:7M,allow=cert:CN=alice,allow=psk:vm7,allow=psk:CN=vm7'
all="common dns uri psk near far named-alike"

# uri_of CLIENT NAME: of a certificate, or of a key.
uri_of() {
    case $1 in
    vm*) echo "nbds://localhost:$port/$2?tls-certificates=$work/pki/clients/$1" ;;
    *) echo "nbds://$1@localhost:$port/$2?tls-psk-file=$work/psk/keys.psk" ;;
    esac
}

# qemu_info CLIENT NAME
qemu_info() {
    local credentials=tls-creds-x509,dir=$work/pki/clients/$1

    case $1 in
    vm*) ;;
    *) credentials=tls-creds-psk,dir=$work/psk,username=$1 ;;
    esac
    qemu-img info --object "$credentials,id=tls0,endpoint=client" \
        --image-opts "driver=nbd,host=localhost,port=$port,export=$2,tls-creds=tls0"
}

# refusal COMMAND...: what it says when it fails, which it must.
refusal() {
    local said

    if said=$("$@" 2>&1); then fail "'$*' succeeded"; fi
    echo "$said"
}

# expect_exports CLIENT "NAME...": these are listed and attached; the others are as if they were not there.
expect_exports() {
    local client=$1 name said

    said=$(nbdinfo --list --json "$(uri_of "$client" '')" | python -c 'import json, sys
print(*[e["export-name"] for e in json.load(sys.stdin)["exports"]])')
    expect_equal "what $client sees" "$2" "$said"
    for name in $all; do
        case " $2 " in
        *" $name "*)
            nbdinfo --size "$(uri_of "$client" "$name")" >/dev/null
            qemu_info "$client" "$name" >/dev/null
            ;;
        *)
            said=$(refusal nbdinfo "$(uri_of "$client" nowhere)")
            expect_equal "what libnbd tells $client" "${said//nowhere/$name}" \
                "$(refusal nbdinfo "$(uri_of "$client" "$name")")"
            said=$(refusal qemu_info "$client" nowhere)
            expect_equal "what QEMU tells $client" "${said//nowhere/$name}" "$(refusal qemu_info "$client" "$name")"
            ;;
        esac
    done
}

# The person at the server is told, before so many were refused that the log says no more than their number.
refusal nbdinfo "$(uri_of vm9 uri)" >/dev/null
refusal nbdinfo "$(uri_of mallory psk)" >/dev/null
nbdinfo --list "$(uri_of vm7 '')" >"$log_dir/list"
wait_until 30 grep -q 'LIST leaves out' "$server_log"
expect_match "$server_log" "\(CN=vm9\): GO refused: export 'uri' is not allowed to it: no --allow rule matches"
expect_match "$server_log" "\(psk:mallory\): GO refused: export 'psk' is not allowed to it: no --allow rule matches"
expect_match "$server_log" "\(CN=vm7\): LIST leaves out 5 of 7 exports: no --allow rule matches"

expect_exports vm7 "common near"
expect_exports vm8 "dns uri"
expect_exports vm9 ""
expect_exports alice "psk near"
expect_exports mallory ""
stop_nbdcrypt

# A certificate that nobody verifies proves nothing.
start_nbdcrypt --raw --listen 127.0.0.1:0 --tls-certificates pki/server --tls-no-verify-peer \
    --allow cert:CN=vm7 --export common=memory:1M
refusal nbdinfo "$(uri_of vm7 common)" >/dev/null
stop_nbdcrypt
