"""Print which twin the build left in this tree, one line per Python: pip hides what ``setup.py`` says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

NOTE = Path(__file__).resolve().parent.parent / "carmine" / "_build_info.json"


def main() -> int:
    """Print the note; fail if there is none, for then the package was not built here."""
    if not NOTE.exists():
        sys.stderr.write("carmine is not built in this tree: run `make venv`\n")
        return 1
    for suffix, entry in json.loads(NOTE.read_text(encoding="utf-8")).items():
        what = f"built {', '.join(entry['built'])}" if entry["built"] else f"pure Python twin only ({entry['reason']})"
        sys.stdout.write(f"carmine for Python {entry['python']} ({suffix}): {what}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
