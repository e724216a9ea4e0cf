#!/bin/bash
# Each header of the corpus (bad_headers.py) is refused by serve and by info, with its own sentence; none is changed.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

folder=$test_dir/corpus good1=$(temp_file) good2=$(temp_file)
mkdir "$folder"
truncate --size=3M "$good1"
truncate --size=2M "$good2"
cryptsetup_quietly luksFormat --type luks1 --pbkdf-force-iterations 1000 "$good1"
cryptsetup_quietly luksFormat --type luks2 "${fast_pbkdf[@]}" --offset 2048 --luks2-keyslots-size 512k \
    --luks2-metadata-size 16k --sector-size 512 "$good2"
expect_success serve --key-file "$passphrase" --run true "$good1"
expect_success serve --key-file "$passphrase" --run true "$good2"
python "$(dirname "$0")/../support/bad_headers.py" make "$folder" "$good1" "$good2"

# With right checksums, and on an image of another size, they are refused or harmless.
find "$folder" -type f ! -name '*.sentence' -exec "${top_builddir:-$(dirname "$NBDCRYPT")}/tests/unit/test-fuzz-luks-header" {} + ||
    fail "a header of the corpus breaks a promise of the loader"

names=$(temp_file)
(cd "$folder" && printf '%s\n' *.sentence) >"$names"
[ "$(wc -l <"$names")" -ge 150 ] || fail "the corpus is too small"

# One process for all of them: this is 400 starts of the program, each of which takes a sanitizer 0.2 s.
sample 5 <"$names" >"$names.sample"
python - "$folder" "$NBDCRYPT" "$passphrase" "$names.sample" <<'PYTHON_END' || fail "not every header is refused as it should be"
import os
import subprocess
import sys

folder, program, passphrase, names = sys.argv[1:]
bad = 0


def said(path, *command):
    run = subprocess.run([program, *command, path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    text = run.stderr.rstrip("\n").removeprefix(f"nbdcrypt: image '{path}': ")
    return text if run.returncode == 1 else f"[status {run.returncode}] {text}"


for entry in open(names).read().split():
    path = os.path.join(folder, entry.removesuffix(".sentence"))
    sentence = open(path + ".sentence").read().rstrip("\n")
    # What to serve as it is, info need not say; and it opens no keyslot.
    of_info = sentence
    if sentence.startswith("no LUKS header found"):
        of_info = "no LUKS header found: if the header is apart, name it by --header"
    elif sentence.startswith("no keyslot "):
        of_info = "[status 0] "
    before = open(path, "rb").read()
    results = ((sentence, said(path, "serve", "--unix", folder + "/s", "--key-file", passphrase, "--run", "true")),
               (of_info, said(path, "info")), (before, open(path, "rb").read()))
    for expected, found in results:
        if expected != found:
            print(f"{os.path.basename(path)}: got {found[:300]!r}, expected {expected[:300]!r}")
            bad += 1
sys.exit(bad > 0)
PYTHON_END
