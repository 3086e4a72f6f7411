#!/usr/bin/env python3
"""Names the built filters by their content and writes the list that `weir` reads.

    filters/modules.py BUILT MODULES NAME...

For every NAME, BUILT/weir_NAME.wasm is copied to MODULES/NAME-<16 hex of its SHA-256>.wasm. A file is never
changed in place, so an Envoy that runs keeps the module it has. Modules that are no longer listed stay for
those Envoys; `make clean` removes them.
"""

import hashlib
import json
import os
import sys
from pathlib import Path


def publish(built: Path, modules: Path, name: str) -> str:
    code = (built / f"weir_{name.replace('-', '_')}.wasm").read_bytes()
    file = f"{name}-{hashlib.sha256(code).hexdigest()[:16]}.wasm"
    replace(modules / file, code)
    print(f"{name:14} {len(code) / 1024:6.0f} KiB  {modules / file}")
    return file


def replace(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    os.replace(draft, path)


def main() -> None:
    built, modules, names = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    modules.mkdir(parents=True, exist_ok=True)
    files = {name: publish(built, modules, name) for name in names}
    replace(modules / "modules.json", (json.dumps(files, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
