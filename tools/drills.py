"""Failure drills for operators: `python tools/drills.py` lists them (docs/drills.md)."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tools.drilling.program import main

    sys.exit(main())
