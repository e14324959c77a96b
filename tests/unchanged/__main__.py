"""Store the facts anew, once a change of them is meant: `python -m tests.unchanged [NAME ...]`; git shows what changed."""

import json
import sys

from .facts import FACTS, FOLDER

for name in sys.argv[1:] or FACTS:
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(FACTS[name](), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)
