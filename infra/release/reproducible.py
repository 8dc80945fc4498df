"""Builds a function twice, in two folders with different names, and compares the zips byte by byte:
`python3 infra/release/reproducible.py [FUNCTION]`. Two release builds take many minutes, so only CI runs it regularly.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pack import build, pack

ROOT = Path(__file__).resolve().parents[2]

FOLDERS = ["one", "another-folder-with-a-longer-name"]


def main() -> int:
    """Returns the exit code: 0 if the two zips are identical."""
    name = sys.argv[1] if len(sys.argv) > 1 else "webhook"
    os.environ.pop("CARGO_TARGET_DIR", None)  # a shared target folder would make the second build a no-op
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
    print("The zips are identical." if same else "The zips differ.")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
