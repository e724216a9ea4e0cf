#!/bin/bash
# certtool and openssl find the certificates good, for their purpose only, and the list of revoked ones too.
. "$(dirname "$0")/../support/functions.sh"

requires certtool --version
requires openssl version
work=$(temp_dir)
cd "$work"
"$NBDCRYPT" tls init pki --host storage.example.org --host 192.0.2.7 --host 2001:db8::7 --days 36500 \
    --ca-days 36500 >/dev/null
"$NBDCRYPT" tls client pki alice --dns alice.example.org --uri spiffe://example.org/alice >/dev/null
server=pki/server/server-cert.pem client=pki/clients/alice/client-cert.pem

verify() {
    openssl verify -x509_strict -CAfile pki/ca-cert.pem "$@" >>"$log_dir/openssl" 2>&1
}

verify -purpose sslserver -verify_hostname storage.example.org "$server"
verify -purpose sslserver -verify_ip 192.0.2.7 "$server"
verify -purpose sslserver -verify_ip 2001:db8::7 "$server"
verify -purpose sslclient "$client"
verify -purpose sslclient pki/clients/client/client-cert.pem
! verify -purpose sslclient "$server" || fail "the server's certificate is one for clients"
! verify -purpose sslserver "$client" || fail "a client's certificate is one for servers"
! verify -purpose sslserver -verify_hostname other.example.org "$server" || fail "any name will do"

# In the order in which --verify-chain wants them.
for certificate in "$server" "$client"; do
    cat "$certificate" pki/ca-cert.pem | certtool --verify-chain >"$log_dir/certtool" 2>&1
done
certtool --verify --load-ca-certificate=pki/ca-cert.pem --verify-hostname=storage.example.org \
    --verify-purpose=1.3.6.1.5.5.7.3.1 --infile="$server" >"$log_dir/certtool" 2>&1
certtool --verify --load-ca-certificate=pki/ca-cert.pem --verify-purpose=1.3.6.1.5.5.7.3.2 --infile="$client" \
    >"$log_dir/certtool" 2>&1

# Where this is critical, libvirt and older versions of QEMU refuse keys on elliptic curves.
openssl x509 -noout -ext keyUsage -in "$server" >"$log_dir/openssl"
expect_match "$log_dir/openssl" '^X509v3 Key Usage: ?$'
certtool -i --infile="$client" >"$log_dir/certtool"
expect_match "$log_dir/certtool" '^\s*Subject: CN=alice$'
expect_match "$log_dir/certtool" '^\s*DNSname: alice.example.org$'
expect_match "$log_dir/certtool" '^\s*URI: spiffe://example.org/alice$'
expect_match "$log_dir/certtool" 'TLS WWW Client'
expect_match "$log_dir/certtool" 'Security Level: High'
expect_match "$log_dir/certtool" 'Certificate Authority \(CA\): FALSE'
certtool -i --infile=pki/ca-cert.pem >"$log_dir/certtool"
expect_match "$log_dir/certtool" 'Path Length Constraint: 0'

note "each certificate has a serial number and a key of its own"
for property in serial pubkey; do
    count=$(for file in pki/ca-cert.pem "$server" "$client" pki/clients/client/client-cert.pem; do
        openssl x509 -noout "-$property" -in "$file" | sha256sum
    done | sort -u | wc -l)
    expect_equal "different values of $property" 4 "$count"
done
for pair in pki/ca pki/server/server pki/clients/alice/client; do
    expect_equal "key of $pair" "$(openssl x509 -noout -pubkey -in "$pair-cert.pem")" \
        "$(openssl pkey -pubout -in "$pair-key.pem")"
done

note "the list of revoked certificates grows"
openssl crl -noout -CAfile pki/ca-cert.pem -in pki/ca-crl.pem 2>"$log_dir/openssl"
"$NBDCRYPT" tls revoke pki alice >/dev/null
cmp pki/ca-crl.pem pki/server/ca-crl.pem
certtool --crl-info --infile=pki/ca-crl.pem >"$log_dir/certtool"
expect_match "$log_dir/certtool" 'Revoked certificates \(1\)'
crl=(-crl_check -CRLfile pki/ca-crl.pem)
! verify "${crl[@]}" "$client" || fail "openssl does not see that alice is revoked"
verify "${crl[@]}" "$server"
verify "${crl[@]}" pki/clients/client/client-cert.pem
expect_match <(openssl crl -noout -crlnumber -in pki/ca-crl.pem) '^crlNumber=(0x)?0*2$'
