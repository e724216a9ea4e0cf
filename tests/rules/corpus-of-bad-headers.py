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
