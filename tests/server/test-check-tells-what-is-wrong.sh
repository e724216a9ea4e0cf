#!/bin/bash
# `nbdcrypt check` reads a configuration as `serve` would and changes nothing; --open finds what would keep an export from being
# served, beside a server that runs; --json says the same.  The examples of nbdcrypt.conf(5) are right.
. "$(dirname "$0")/../support/functions.sh"

umask 022
folder=$(temp_dir)
chmod 755 "$folder"
config=$folder/nbdcrypt.conf
image=$(temp_file) other=$(temp_file) raw=$(temp_file)
truncate --size 1M "$raw"
format_luks2 "$image" 1M
format_luks2 "$other" 1M
uuid=$(cryptsetup luksUUID "$image")

cat >"$config" <<END
[server]
unix = $folder/server.sock
[export disk]
image = $image
key-file = $passphrase
expect-uuid = $uuid
metadata org.example.app = { "b":1, "a" : "é" }
[export raw]
image = $raw
raw = yes
allow = uid:0
END
expect_success check --config "$config"
expect_equal "what check says" "$config: nothing is wrong: 2 exports in 1 file; images and keys were not looked at: --open does" "$(cat "$out")"
[ ! -e "$folder/server.sock" ] || fail "check made a socket"

# ---- beside the server, which has locked the images ----

start_nbdcrypt --config "$config"
before=$(sha256_of "$image")
expect_success check --config "$config" --open
expect_success check --config "$config" --open --json
stop_nbdcrypt
expect_equal "the image" "$before" "$(sha256_of "$image")"
python - "$out" "$uuid" <<'END'
import json, sys
report = json.load(open(sys.argv[1]))
assert report["findings"] == [] and report["findings-count"] == 0 and report["files"] == 1, report
disk, raw = report["exports"]
assert disk["name"] == "disk" and disk["key-source"] == "key-file" and disk["allow"] == [], disk
assert disk["header"]["uuid"] == sys.argv[2] and disk["header"]["cipher"] == "aes-xts-plain64", disk
assert disk["metadata"] == {"org.example.app": '{ "b":1, "a" : "é" }'}, disk
assert raw["raw"] and raw["key-source"] is None and raw["allow"] == ["uid:0"] and "header" not in raw, raw
END

# ---- what --open finds ----

cp "$image" "$folder/copy"

cat >"$folder/conf" <<END
[tls]
certificates = $folder/nothing
[export absent]
image = $folder/absent
raw = yes
[export other]
image = $other
key-file = $folder/absent.key
expect-uuid = $uuid
[export plain]
image = $raw
key-command = $folder/no-program x
[export good]
image = $image
key-command = cat $passphrase
[export folder]
image = $folder/copy
key-file = $folder
END
expect_success check --config "$folder/conf"
run_nbdcrypt check --config "$folder/conf" --open
expect_equal "status" 1 "$status"
expect_match "$err" "$folder/nothing"
expect_match "$err" "conf:3: export 'absent': .*absent"
expect_match "$err" "conf:6: export 'other': image '$other': .*UUID"
expect_message "$err" "nbdcrypt: $folder/conf:6: export 'other': key file '$folder/absent.key': No such file or directory"
expect_match "$err" "conf:10: export 'plain': image '$raw': no LUKS header"
expect_match "$err" "conf:10: export 'plain': key-command: there is no program '$folder/no-program'"
expect_message "$err" "nbdcrypt: $folder/conf:16: export 'folder': key file '$folder' is a folder"
! grep -F "'good'" "$err" || fail "something is said of what is right"
run_nbdcrypt check --config "$folder/conf" --open --json
expect_equal "status" 1 "$status"
python - "$out" "$folder/conf" <<'END'
import json, sys
report = json.load(open(sys.argv[1]))
assert report["findings-count"] == len(report["findings"]) == 7, report["findings"]
assert {one["file"] for one in report["findings"]} == {sys.argv[2]}
assert [one["line"] for one in report["findings"]] == [1, 3, 6, 6, 10, 10, 16], report["findings"]
END

# ---- one image in two exports ----

truncate --size 4M "$folder/parts"
ln -s "$raw" "$folder/link"
cat >"$folder/two.conf" <<END
[export one]
image = $raw
raw = yes
[export two]
image = file:$folder/link
raw = yes
[export left]
image = $folder/parts?offset=0&size=1M
raw = yes
[export right]
image = $folder/parts?offset=1M&size=1M
raw = yes
[export reader]
image = $other
read-only = yes
key-file = $passphrase
[export reader2]
image = $other
read-only = yes
key-file = $passphrase
END
expect_success check --config "$folder/two.conf"
run_nbdcrypt check --config "$folder/two.conf" --open
expect_equal "status" 1 "$status"
expect_message "$err" "nbdcrypt: $folder/two.conf:4: export 'two': image 'file:$folder/link' is that of export 'one', too: \
only one of them can be opened, unless both are read-only; the other one is in $folder/two.conf:1"
expect_equal "findings" 1 "$(grep -c . "$err")"

# ---- what is said in the words of the files, and with all places ----

cat >"$folder/words.conf" <<END
[tls]
mode = require
[Export Disk]
image = $raw
[export disk]
image = $raw
raw = yes
tls-only = yes
[export disk2]
name = disk
image = $raw
raw = yes
END
run_nbdcrypt check --config "$folder/words.conf"
expect_equal "status" 1 "$status"
expect_message "$err" "nbdcrypt: $folder/words.conf:1: [tls] mode require needs something to prove who this server is: give \
[tls] certificates DIR or [tls] psk FILE"
expect_message "$err" "nbdcrypt: $folder/words.conf:3: unknown section [Export] ([export NAME]?)"
expect_message "$err" "nbdcrypt: $folder/words.conf:9: export 'disk' is there twice: each needs a name of its own; the other one \
is in $folder/words.conf:5"
! grep -qE -e '--[a-z]' "$err" || fail "options of the command line are named where a file was written"

# ---- beside what runs ----

control=$(temp_socket)
printf '[export a]\nimage = %s\nraw = yes\n' "$raw" >"$folder/running.conf"
start_nbdcrypt --config "$folder/running.conf" --control "$control"
expect_success check --config "$folder/running.conf" --running --socket "$control"
expect_match "$out" "^$folder/running.conf: nothing is wrong: 1 export in 1 file; images and keys were not looked at: --open does\$"
expect_match "$out" '^a reload of the running server would change nothing$'
printf '[export b]\nimage = memory:1M\nraw = yes\n' >>"$folder/running.conf"
expect_success check --config "$folder/running.conf" --running --socket "$control"
expect_match "$out" '^  \+ b +added: memory:1M$'
expect_success check --config "$folder/running.conf" --running --socket "$control" --json
python - "$out" <<'END'
import json, sys
plan = json.load(open(sys.argv[1]))["running"]["plan"]
assert [(one["action"], one["export"], one["image"]) for one in plan] == [("add", "b", "memory:1M")], plan
END
sed -i "s,^image = $raw,image = $other," "$folder/running.conf"
run_nbdcrypt check --config "$folder/running.conf" --running --socket "$control"
expect_equal "status of what would be refused" 1 "$status"
expect_message "$err" "nbdcrypt: the running server: export 'a' would be opened anew, and its clients disconnected: name it \
with --replace"
expect_match "$out" '^  ! a +image: opened anew'
stop_nbdcrypt
run_nbdcrypt check --config "$folder/running.conf" --running --socket "$control"
expect_equal "status without a server" 1 "$status"
expect_match "$err" "the running server: no server answers at the control socket '$control': "
expect_failure 2 "--socket goes with --running" check --socket "$control"

# ---- certificates that have expired ----

if command -v certtool >/dev/null; then
    run_nbdcrypt tls init "$folder/pki" --host localhost
    expect_equal "status of tls init" 0 "$status"
    printf '[tls]\ncertificates = %s/pki/server\n[export a]\nimage = %s\nraw = yes\n' "$folder" "$raw" >"$folder/tls.conf"
    expect_success check --config "$folder/tls.conf" --open
    printf 'cn = old\nexpiration_date = "2020-01-02"\nactivation_date = "2019-01-01"\ntls_www_server\n' >"$folder/template"
    certtool --generate-certificate --load-privkey "$folder/pki/server/server-key.pem" --load-ca-certificate "$folder/pki/server/ca-cert.pem" \
        --load-ca-privkey "$(find "$folder/pki" -name ca-key.pem)" --template "$folder/template" \
        --outfile "$folder/pki/server/server-cert.pem" >"$log_dir/certtool" 2>&1
    run_nbdcrypt check --config "$folder/tls.conf" --open
    expect_equal "status" 1 "$status"
    expect_match "$err" "server-cert.pem: the certificate expired on 2020-01-02"
fi

# ---- as any user, of files of another one ----

if [ "$(id -u)" -eq 0 ]; then
    chmod 755 "$test_dir"
    chmod 644 "$config"
    chown 12345 "$config"
    expect_success check --config "$config"
    setpriv --reuid 65534 --regid 65534 --clear-groups "$NBDCRYPT" check --config "$config" >"$log_dir/as-nobody" 2>&1 ||
        fail "check does not work for another user"
    run_nbdcrypt serve --config "$config"
    expect_equal "status of serve with a stranger's file" 2 "$status"
    expect_match "$err" "it belongs to a user who is neither root nor the one that runs the server"
fi

# ---- what another process will have ----

printf '[export a]\nimage = %s\nkey-fd = 9\n' "$image" >"$folder/fd.conf"
expect_success check --config "$folder/fd.conf"
run_nbdcrypt serve --config "$folder/fd.conf"
expect_equal "status of serve without the descriptor" 2 "$status"
expect_match "$err" "fd.conf:1: export 'a': .*key-fd"

# ---- the examples of the man page ----

page=$source_dir/docs/nbdcrypt.conf.5
example=0
while IFS= read -r line; do
    case $line in
    .Bd*)
        example=$((example + 1))
        : >"$folder/example-$example.conf"
        ;;
    .*) ;;
    *) [ "$example" -eq 0 ] || printf '%s\n' "$line" >>"$folder/example-$example.conf" ;;
    esac
done < <(awk '/^\.Bd/ { inside = 1 } inside { gsub(/\\e/, "\\"); print } /^\.Ed/ { inside = 0 }' "$page")
[ "$example" -eq 4 ] || fail "$example examples in the man page"
printf '[tls]\ncertificates = /etc/pki\n' >>"$folder/example-1.conf" # for "cert:"
for number in 1 2 3; do
    expect_success check --config "$folder/example-$number.conf"
done
expect_equal "the last example" "nbdcrypt check --open" "$(cat "$folder/example-4.conf")"
