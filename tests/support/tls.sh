# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is for the tests
# What the tests of TLS share; behind functions.sh:
#
#     . "$(dirname "$0")/../support/functions.sh"
#     . "$(dirname "$0")/../support/tls.sh"
#     make_pki
#     start_tls_nbdcrypt --raw "$image"
#     nbdinfo "$(x509_uri client)"

requires_python_module cryptography

# make_pki: sets $pki, the folder that make_pki.py describes.
make_pki() {
    pki=$(temp_dir)
    python "$support_dir/make_pki.py" "$pki" 2>"$log_dir/make-pki" || fail "no certificates: $(cat "$log_dir/make-pki")"
}

# make_psk: sets $psk, a file with the keys of alice and bob, and $wrong_psk, in which alice has another one.
make_psk() {
    psk=$(temp_file) wrong_psk=$(temp_file)
    {
        echo alice:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
        echo bob:ffeeddccbbaa99887766554433221100
    } >"$psk"
    {
        echo alice:11112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
        echo mallory:0123456789abcdef0123456789abcdef
    } >"$wrong_psk"
}

# start_tls_nbdcrypt OPTION... IMAGE: on a free TCP port (the name in the certificate is localhost), with
# the certificates of $pki unless the options name others.
start_tls_nbdcrypt() {
    case " $* " in
    *" --tls-certificates "* | *" --tls-psk "*) ;;
    *) set -- --tls-certificates "$pki/server" "$@" ;;
    esac
    start_nbdcrypt --verbose --listen 127.0.0.1:0 "$@"
}

# x509_uri CLIENT [NAME]: for libnbd, with the certificate of $pki/CLIENT.
x509_uri() {
    echo "nbds://localhost:$port/${2-}?tls-certificates=$pki/$1"
}

# psk_uri USER [FILE [NAME]]
psk_uri() {
    echo "nbds://$1@localhost:$port/${3-}?tls-psk-file=${2-$psk}"
}

# qemu_x509 CLIENT [NAME]: sets qemu_options, to be followed by an image of --image-opts.
qemu_x509() {
    qemu_options=(--object "tls-creds-x509,id=tls0,dir=$pki/$1,endpoint=client,verify-peer=on")
    qemu_image="driver=nbd,host=localhost,port=$port,export=${2-},tls-creds=tls0"
}

# qemu_psk USER: the same; QEMU reads keys.psk of a folder.
qemu_psk() {
    local folder

    folder=$(temp_dir)
    cp "$psk" "$folder/keys.psk"
    qemu_options=(--object "tls-creds-psk,id=tls0,dir=$folder,username=$1,endpoint=client")
    qemu_image="driver=nbd,host=localhost,port=$port,export=${2-},tls-creds=tls0"
}
