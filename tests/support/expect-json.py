"""Does a JSON document have these members?

    expect-json.py FILE < lines of KEY VALUE: a key is a path such as keyslots.0.pbkdf.type, a value is JSON
"""
import json
import sys

document = json.load(open(sys.argv[1]))
for line in sys.stdin:
    path, expected = line.rstrip("\n").split(" ", 1)
    value = document
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    if value != json.loads(expected):
        raise SystemExit(f"{path} is {json.dumps(value)}, expected {expected}")
