#!/bin/bash
# A list of revoked certificates that is over, or of the future, lets nobody of its authority in, at both ends: also one that
# ends while the server runs.  Another authority's clients, pre-shared keys, and a good list beside the old one are not
# affected.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires nbdinfo --version

work=$(temp_dir)
cd "$work"
make_psk

# server/, client/, other/ (a client of another authority), and lists: good old future (of the first authority).
python "$source_dir/tests/tls/old-revocation-list-lets-nobody-in.py" </dev/null

# list_for SECONDS: makes lists/short.pem, which is over then.
list_for() {
    python - "$1" <<'PYTHON_END'
import datetime
import sys
from make_pki import DAY, pem, subject, write, x509
from cryptography.hazmat.primitives import hashes, serialization

now = datetime.datetime.utcnow()
with open("ca.key", "rb") as text:
    key = serialization.load_pem_private_key(text.read(), None)
write("lists", short=x509.CertificateRevocationListBuilder().issuer_name(subject("one CA")).last_update(now - DAY)
      .next_update(now + datetime.timedelta(seconds=int(sys.argv[1]))).sign(key, hashes.SHA256()))
PYTHON_END
}

lets_in() {
    timeout 60 nbdinfo --size "nbds://localhost:$port/?tls-certificates=$work/$1" >"$log_dir/nbdinfo" 2>&1
}
refuses() {
    ! lets_in "$1"
}

serve_with() {
    start_tls_nbdcrypt --tls-certificates "$work/server" --tls-psk "$psk" --raw memory:1M
}

# refusal LIST NAME
refusal() {
    echo "its certificate CN=$2 can't be checked, because the list of revoked certificates \\(ca-crl.pem\\) is \
$([ "$1" = old ] && echo too old || echo of the future)"
}

for list in old future; do
    cp "lists/$list.pem" server/ca-crl.pem
    serve_with
    expect_match "$server_log" "^nbdcrypt: $work/server/ca-crl.pem: the list of revoked certificates (was good until|is good from) \
[0-9-]+( on)?, so all clients of its authority are refused"
    refuses client || fail "a client gets in by a list that is $list"
    wait_until 10 grep -qE "TLS refused: $(refusal "$list" client)" "$server_log"
    lets_in other || fail "a client of another authority is refused"
    nbdinfo --size "$(psk_uri alice)" >/dev/null || fail "a pre-shared key is refused"
    stop_nbdcrypt
done

note "one that is good beside it"
cat lists/old.pem lists/good.pem lists/future.pem >server/ca-crl.pem
serve_with
lets_in client || fail "a client is refused, though there is a good list"
stop_nbdcrypt

note "one that ends while the server runs"
list_for 3600
cp lists/short.pem server/ca-crl.pem
serve_with
lets_in client || fail "a client is refused by a list that is good"
list_for 3
cp lists/short.pem server/ca-crl.pem
kill -HUP "$pid"
wait_until 30 grep -q 'the TLS files were read again' "$server_log"
wait_until 30 refuses client
wait_until 20 grep -qE "TLS refused: $(refusal old client)" "$server_log"
cp lists/good.pem server/ca-crl.pem
kill -HUP "$pid"
wait_until 30 lets_in client

note "at our client's end"
# as_client LIST: another server of ours as a client of this one.
as_client() {
    cp "lists/$1.pem" client/ca-crl.pem
    # shellcheck disable=SC2016 # the variable is that of the command
    run_nbdcrypt serve --raw --unix "$work/s" --run 'nbdinfo --size "$uri"' \
        "nbds://localhost:$port/?tls-certificates=$work/client"
}
as_client good
expect_equal "exit status" 0 "$status"
for list in old future; do
    as_client "$list"
    expect_equal "exit status" 1 "$status"
    expect_match "$err" "TLS with the server failed: $(refusal "$list" localhost)"
done
stop_nbdcrypt
