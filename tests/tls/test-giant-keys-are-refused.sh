#!/bin/bash
# Keys and certificates at the other end that would cost time, though nobody knows yet whose they are, are refused before
# anything is calculated with them, under TLS 1.3 and 1.2, by the server and by our client; one's own are refused at start.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires_python_module ssl

work=$(temp_dir)
cd "$work"

# server/ client/ as usual.  large-key/ large-exponent/ many-certificates/ large-certificate/ long-chain/: for both ends, by
# the same authority, and what is large in all-the-most/ is just allowed.
python "$source_dir/tests/tls/giant-keys-are-refused-make.py" </dev/null

# Of OpenSSL, which sends everything that it is given: each as a client of ours, and then as its server.
cp "$source_dir/tests/tls/giant-keys-are-refused-peer.py" peer.py

declare -A refusals=(
    [large-key]='the key of its certificate is too large \(RSA of 102[0-9]{2} bits\): 8192 is the most'
    [large-exponent]='the key of its certificate has a public exponent of 67 bits: 64 is the most, and 65537 is usual'
    [many-certificates]='it sent more than 16 certificates'
    [large-certificate]='its certificate has [0-9]+ bytes: 16384 is the most'
    [long-chain]='it sent more than 65536 bytes'
)

# serve_by_peer KIND ARGUMENT...: sets $port.
serve_by_peer() {
    local kind=$1

    shift
    rm -f port
    mkfifo port
    "$PYTHON" peer.py "$kind" port "$@" >/dev/null 2>"$log_dir/peer" &
    remember_pid $!
    exec {port_fd}<port
    read -r -t 60 -u "$port_fd" port
    exec {port_fd}<&-
}

for version in TLSv1_3 TLSv1_2; do
    start_tls_nbdcrypt --tls-certificates server --raw memory:1M
    expect_equal "an ordinary client" served "$(python peer.py client "$uri" client "$version")"
    expect_equal "a client with the most" served "$(python peer.py client "$uri" all-the-most "$version")"
    for folder in "${!refusals[@]}"; do
        answer=$(python peer.py client "$uri" "$folder" "$version")
        [ "$answer" != served ] || fail "$folder is served with $version"
        wait_until 20 grep -qE "TLS (refused|handshake): ${refusals[$folder]}" "$server_log"
    done
    stop_nbdcrypt
    for folder in all-the-most "${!refusals[@]}"; do
        serve_by_peer server "$folder" "$version"
        run_nbdcrypt serve --raw --unix "$work/s" "nbds://localhost:$port/?tls-certificates=$work/client"
        expect_equal "exit status" 1 "$status"
        expected="TLS with the server failed: ${refusals[$folder]-}"
        # This one says nothing more, but its handshake was fine.
        [ "$folder" != all-the-most ] || expected='the connection ended without close_notify'
        expect_match "$err" "$expected"
    done
done

note "a group"
make_psk
for bytes in 1024 1025 2040; do
    serve_by_peer group-server "$bytes"
    run_nbdcrypt serve --raw --unix "$work/s" "nbds://alice@localhost:$port/?tls-psk-file=$psk"
    expect_equal "exit status" 1 "$status"
    expected="its group for Diffie-Hellman is too large \\($((bytes * 8)) bits\\): 8192 is the most"
    if [ "$bytes" -le 1024 ]; then
        expect_match "$err" "TLS with the server failed: "
        ! grep -q "too large" "$err" || fail "a group of 8192 bits is refused"
    else
        expect_match "$err" "TLS with the server failed: $expected"
    fi
done

note "one's own"
for folder in large-key large-exponent; do
    run_nbdcrypt serve --raw --unix "$work/s" --tls-certificates "$folder" memory:1M
    expect_equal "exit status" 1 "$status"
    expect_match "$err" "^nbdcrypt: $folder/server-cert.pem: its key ${refusals[$folder]#the key of its certificate }; \
make one of ECDSA P-256, or RSA of 4096 bits$"
done
