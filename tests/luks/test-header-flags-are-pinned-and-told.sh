#!/bin/bash
# The flag allow-discards, which whoever writes to the storage can set, does not turn TRIM on where the header is pinned,
# nor with --no-discard; otherwise the log says that the flag did it.  A digest of the old form, which does not cover
# flags, is taken with a warning.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdinfo --version

digest_of() {
    "$NBDCRYPT" info "$1" | sed -n 's/^Header digest: *//p'
}

# serves yes|no TEXT ARGUMENT...: whether there is TRIM, and all that the log holds.
serves() {
    local trim=no

    run_nbdcrypt serve --key-file "$passphrase" --run "nbdinfo --can trim \"\$uri\" && echo TRIM || true" "${@:3}"
    expect_equal "exit status with ${*:3}" 0 "$status"
    if grep -q TRIM "$out"; then trim=yes; fi
    expect_equal "TRIM with ${*:3}" "$1" $trim
    expect_equal "log with ${*:3}" "$2" "$(cat "$err")"
}

# says TEXT ARGUMENT...: a server that is on its own, besides.
says() {
    start_nbdcrypt --key-file "$passphrase" "${@:2}"
    stop_nbdcrypt
    expect_message "$server_log" "$1"
}

image=$(temp_file)
format_luks2 "$image" 1M
digest=$(digest_of "$image")
# As nbdcrypt info printed it before it knew flags.
old=$(python - "$image" <<'END'
import base64
import hashlib
import sys
import luks_image

d = luks_image.read_luks2_json(sys.argv[1])
segment, digest = d["segments"]["0"], d["digests"]["0"]
lines = ("nbdcrypt header digest 1", "type luks2", "cipher " + segment["encryption"], "key-bits 512",
         "sector-size %d" % segment["sector_size"], "payload-offset " + segment["offset"],
         "payload-size " + segment["size"], "iv-offset " + segment["iv_tweak"],
         "key-digest pbkdf2 %(hash)s %(iterations)s %(salt)s %(digest)s" % digest)
print("sha256:" + hashlib.sha256(b"".join(line.encode() + b"\n" for line in lines)).hexdigest())
END
)
by_flag="nbdcrypt: export '': TRIM is passed on, for the flag allow-discards in its header says so; --no-discard ignores it"
form="nbdcrypt: image '$image': the digest of --header-digest has the old form, which does not cover flags such as \
allow-discards; nbdcrypt info prints one that does (v2:...)"

serves no '' "$image"
serves no '' --header-digest "$digest" "$image"
serves no "$form" --header-digest "$old" "$image"
serves yes '' --discard "$image"
says "nbdcrypt: export '': TRIM is passed on (--discard)" --discard "$image"

# Somebody sets the flag.
python -c 'import sys, luks_image
luks_image.change_luks2_json(sys.argv[1], lambda d: d["config"].update(flags=["no-journal", "allow-discards"]))' "$image"
serves yes "$by_flag" "$image"
serves no '' --read-only "$image"
serves no '' --no-discard "$image"
says "nbdcrypt: export '': TRIM is not passed on: the flag allow-discards in its header is ignored (--no-discard)" \
    --no-discard "$image"
serves no '' --export "=$image,no-discard"
serves no '' --no-discard --export "=$image"
serves yes '' --no-discard --export "=$image,discard"
expect_failure 1 "image '$image': LUKS header: its digest is $(digest_of "$image"), and another one is demanded: the \
header has another volume key, another layout or other flags than it had" \
    serve --unix "$test_dir/socket" --key-file "$passphrase" --header-digest "$digest" "$image"
serves yes "$form"$'\n'"$by_flag" --header-digest "$old" "$image"

# A flag that the user knows of is no news: the digest covers it, in whatever order, or the header is kept here.
digest=$(digest_of "$image")
serves yes '' --header-digest "$digest" "$image"
says "$by_flag" --header-digest "$digest" "$image"
python -c 'import sys, luks_image
luks_image.change_luks2_json(sys.argv[1], lambda d: d["config"]["flags"].reverse())' "$image"
serves yes '' --header-digest "$digest" "$image"
cp "$image" "$test_dir/header"
serves yes '' --header "$test_dir/header" "$image"

# LUKS1 has no flags: the old form pins all of it.
truncate --size=0 "$image"
truncate --size=3M "$image"
cryptsetup_quietly luksFormat --type luks1 --pbkdf-force-iterations 1000 "$image"
serves no '' --no-discard --header-digest "$(digest_of "$image")" "$image"
