"""What tools/tidy.sh has to look at: a line for each file, with a digest of all that its findings follow from.

    python3 tools/tidy_files.py VERSION [FILE ...]

That is the file, the headers of this tree that it includes as the last build saw them, its command, .clang-tidy
and VERSION. Files that passed with this digest, build/tidy/passed/DIGEST, are left out. Without FILE: src/ without
its tests and op cases. Writes build/tidy/compile_commands.json on the way.
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

BUILD = Path("build")
PASSED = BUILD / "tidy" / "passed"


def commands() -> dict[Path, dict]:
    """Of each file; clang cannot read headers that g++ precompiled, so they are taken without them."""
    entries = json.loads((BUILD / "compile_commands.json").read_text())
    for entry in entries:
        entry["command"] = re.sub(r" -Winvalid-pch| -include \S+/cmake_pch\.hxx", "", entry["command"])
    PASSED.mkdir(parents=True, exist_ok=True)
    (BUILD / "tidy" / "compile_commands.json").write_text(json.dumps(entries))
    return {Path(entry["file"]): entry for entry in entries}


def headers() -> dict[str, list[Path]]:
    """By object: files of this tree that it was compiled from."""
    text = subprocess.run(["ninja", "-C", BUILD, "-t", "deps"], check=True, capture_output=True, text=True).stdout
    root, found, current = Path.cwd(), {}, []
    for line in text.splitlines():
        if line and not line.startswith(" "):
            current = found[line.split(": #deps", 1)[0]] = []
        elif line:
            path = (BUILD / line.strip()).resolve()
            if root in path.parents:
                current.append(path)
    return found


def main() -> None:
    version, files = sys.argv[1], [Path(name).resolve() for name in sys.argv[2:]]
    entries, included = commands(), headers()
    source = Path("src").resolve()
    if not files:
        files = [path for path in sorted(entries)
                 if source in path.parents and not path.stem.endswith(("_test", "_cases"))]
    if not files:
        sys.exit("build/compile_commands.json names no file of src/")
    digests: dict[Path, bytes] = {}
    for path in files:
        entry = entries.get(path, {"command": ""})
        output = re.search(r" -o (\S+)", entry["command"])
        whole = hashlib.sha256(f"{version}\n{entry['command']}\n".encode())
        # An object that was not built says nothing of its headers: such a file is looked at.
        known = included.get(output[1]) if output else None
        for part in sorted({path, Path(".clang-tidy").resolve(), *(known or [])}):
            if part not in digests:
                digests[part] = hashlib.sha256(part.read_bytes()).digest()
            whole.update(str(part).encode() + digests[part])
        if known is None or not (PASSED / whole.hexdigest()).exists():
            print(f"{path}\t{whole.hexdigest()}")


if __name__ == "__main__":
    main()
