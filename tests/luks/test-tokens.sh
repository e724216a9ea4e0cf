#!/bin/bash
# Tokens of LUKS2: what nbdcrypt imports cryptsetup exports, and the other way round; what is no token, does not fit, or
# names keyslots that are not there is refused and changes nothing.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

image=$(temp_file) luks1=$(temp_file) token=$test_dir/token.json
format_luks2 "$image" 1M
truncate --size=3M "$luks1"
cryptsetup_quietly luksFormat --type luks1 --pbkdf-force-iterations 1000 "$luks1"
echo '{"type":"some-service","keyslots":["0"],"url":"https://example.org/key","parts":[1,{"a":null}]}' >"$token"

same_json() {
    python - "$1" "$2" <<'EOF_PYTHON'
import json
import sys

one, other = (json.load(open(path)) for path in sys.argv[1:])
if one != other:
    raise SystemExit(f"{one} is not {other}")
EOF_PYTHON
}

expect_success token import "$image" "$token"
expect_message "$out" "It is token 0 of $image."
cryptsetup_quietly token export --token-id 0 --json-file "$test_dir/theirs" "$image"
same_json "$token" "$test_dir/theirs"
cryptsetup_quietly token import --token-id 5 --json-file "$token" "$image"
expect_success token export --token 5 "$image"
same_json "$token" "$out"
expect_success token export --token 5 "$image" "$test_dir/ours"
same_json "$token" "$test_dir/ours"
expect_equal "mode of the file" 600 "$(stat --format=%a "$test_dir/ours")"
expect_success token list "$image"
expect_equal "the list" "Token 0:         some-service, for keyslot 0
Token 5:         some-service, for keyslot 0" "$(cat "$out")"
expect_success token list --json "$image"
echo '{"tokens":[{"token":0,"type":"some-service","keyslots":[0]},{"token":5,"type":"some-service","keyslots":[0]}]}' \
    >"$test_dir/list"
same_json "$test_dir/list" "$out"
expect_success token remove --token 0 "$image"
expect_success token export "$image" # the only one
expect_success token import --token 5 --force "$image" "$token"
cryptsetup_quietly open --test-passphrase "$image"

# Refused, with nothing changed.
before=$(sha256_of "$image")
expect_failure 2 "which one? --token N tells; token list shows them" token remove "$image"
expect_failure 2 "no FILE was given: nbdcrypt token import --help tells more" token import "$image"
expect_failure 2 "no command was given: nbdcrypt token --help lists them" token
for command in list import export remove; do
    expect_success token "$command" --help
done
expect_failure 1 "image '$image': there is no token 0 in this header" token remove --token 0 "$image"
expect_failure 1 "image '$image': there is no token 1 in this header" token export --token 1 "$image"
expect_failure 1 "'$test_dir/ours' is there already; --force replaces it" token export "$image" "$test_dir/ours"
expect_failure 1 "image '$image': token 5 is there already; --force replaces it" \
    token import --token 5 "$image" "$token"
expect_failure 1 "image '$luks1': LUKS1 has no tokens" token import "$luks1" "$token"
expect_failure 1 "token '$test_dir/nothing' can't be opened: No such file or directory" \
    token import "$image" "$test_dir/nothing"

# refuse_token TEXT
refuse_token() {
    printf '%s' "$1" >"$token"
    run_nbdcrypt token import "$image" "$token"
    expect_equal "status of importing ${1:0:40}" 1 "$status"
    note "$(cut -c 1-300 "$err")"
}

refuse_token ''
refuse_token 'no json'
refuse_token '[]'
refuse_token '{"type":"x"}'
refuse_token '{"keyslots":[]}'
refuse_token '{"type":"x","keyslots":["9"]}'
refuse_token '{"type":"x","keyslots":[0]}'
refuse_token "{\"type\":\"x\",\"keyslots\":[],\"long\":\"$(head -c 20000 /dev/zero | tr '\0' x)\"}"
printf '{"type":"x",\0"keyslots":[]}' >"$token"
expect_failure 1 "token '$token' can't be used: it is no text" token import "$image" "$token"
expect_equal "the image" "$before" "$(sha256_of "$image")"

# What is demanded of the header holds here, too.
printf '{"type":"x","keyslots":[]}' >"$token"
other=87654321-1234-4321-8765-123456789abc
for command in import remove; do
    operands=("$image")
    [ "$command" = remove ] || operands+=("$token")
    run_nbdcrypt token "$command" --token 5 --expect-uuid "$other" "${operands[@]}"
    expect_equal "status of token $command with another UUID" 1 "$status"
    expect_match "$err" "$other"
    run_nbdcrypt token "$command" --token 5 --min-key-bits 512 --cipher serpent-xts-plain64 "${operands[@]}"
    expect_equal "status of token $command with another cipher" 1 "$status"
    run_nbdcrypt token "$command" --token 5 --expect-uuid nonsense "${operands[@]}"
    expect_equal "status of token $command with a UUID that is none" 2 "$status"
done
expect_equal "the image" "$before" "$(sha256_of "$image")"
expect_success token import --force --token 5 --expect-uuid "$(cryptsetup luksUUID "$image")" "$image" "$token"
