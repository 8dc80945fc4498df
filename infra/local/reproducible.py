"""Builds a function twice, from two folders of different names, and compares the bytes of the zips:
`python3 infra/local/reproducible.py [FUNCTION]`. Two release builds take many minutes; a job of CI's runs it.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from release import build, pack

ROOT = Path(__file__).resolve().parents[2]

FOLDERS = ["one", "another-folder-with-a-longer-name"]


def main() -> int:
    """The exit code is 0 if both are the same."""
    name = sys.argv[1] if len(sys.argv) > 1 else "webhook"
    os.environ.pop("CARGO_TARGET_DIR", None)  # each its own, or the second would find all done
    digests = []
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory() as scratch:
        for folder in FOLDERS:
            root = Path(scratch) / folder
            root.mkdir()
            subprocess.run(["tar", "--extract"], cwd=root, input=archive, check=True)
            target = Path(scratch) / "zip"
            pack(build(root, [name])[name], target)
            digests.append(hashlib.sha256(target.read_bytes()).hexdigest())
            print(f"{digests[-1]}  {name}, built in {folder!r}", flush=True)
    same = len(set(digests)) == 1
    print("The same bytes." if same else "Not the same bytes.")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
