"""Do the text and the JSON of a report hold the same facts?  Every value of the JSON stands in the text by its name, and the text
has as many as the JSON.  Besides: each section is there."""
import json
import re
import sys

SECTIONS = ["package", "process", "threads", "workers", "requests", "clients", "figures", "rings", "memory", "messages"]

text, report = open(sys.argv[1]).read(), json.load(open(sys.argv[2]))
missing = [name for name in sys.argv[3:] + SECTIONS if name not in report["sections"]]
if missing:
    raise SystemExit(f"there are no sections {missing} in the report")


def shown(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def facts(node):
    """name = value, and values of lists; in any order."""
    if isinstance(node, dict):
        for name, value in node.items():
            if isinstance(value, (dict, list)):
                yield from facts(value)
            else:
                yield f"{name} = {shown(value)}"
    else:
        for value in node:
            if isinstance(value, (dict, list)):
                yield from facts(value)
            else:
                yield shown(value)


flat = re.sub(r"\s+", " ", text)
wrong = [fact for fact in facts(report) if re.sub(r"\s+", " ", fact) not in flat]
if wrong:
    raise SystemExit(f"{len(wrong)} values of the JSON are not in the text: {wrong[:5]}")
named = len(re.findall(r"(?m)(?:^\s*(?:\w+: )?|  )[a-z_0-9-]+ = ", text))
in_json = sum(" = " in fact for fact in facts(report))
if named < in_json:
    raise SystemExit(f"the text has {named} values with a name, the JSON {in_json}")
