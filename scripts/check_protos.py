"""Holds protos/ to buf's rules: style, comments, and no change that breaks those who use them.

What others may already rely on is protos/baseline.binpb.  A compatible change joins it by
`--accept`; a breaking one only by `--accept --breaking`, in a commit that says why.
Run it with .venv-proto's Python.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.gen_protos import PROTOS, ROOT, protoc

BASELINE = PROTOS / "baseline.binpb"
BUF_HOME = ROOT / "scripts" / "buf"
MESSAGE_MAX = 500


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--accept", action="store_true", help="take changes into the baseline")
    options.add_argument("--breaking", action="store_true", help="with --accept: breaking ones too")
    chosen = options.parse_args()
    missing = install_buf()
    if missing:
        return skip(missing)
    with tempfile.TemporaryDirectory(prefix="saga-protos-") as scratch:
        # buf reads the comments in the one; a new comment must not change the other.
        image, bare = Path(scratch, "image.binpb"), Path(scratch, "bare.binpb")
        whole = ("--include_imports", "--retain_options")
        if not protoc(f"--descriptor_set_out={image}", *whole, "--include_source_info"):
            return 1
        if not protoc(f"--descriptor_set_out={bare}", *whole):
            return 1
        if not buf("lint", image):
            return 1
        return compare(image, bare, accept=chosen.accept, breaking=chosen.breaking)


def compare(image: Path, bare: Path, *, accept: bool, breaking: bool) -> int:
    """Judge the protos of today against the baseline, and move the baseline if asked to."""
    if BASELINE.exists():
        if BASELINE.read_bytes() == bare.read_bytes():
            return 0
        if not (accept and breaking) and not buf("breaking", image, "--against", BASELINE):
            return complain("this breaks those who use the protos as protos/baseline.binpb has them")
    if not accept:
        return complain(
            "protos/ has changed since protos/baseline.binpb: `make proto-baseline`, then commit it"
        )
    shutil.copyfile(bare, BASELINE)
    print("check_protos: protos/baseline.binpb now holds all of protos/")
    return 0


def buf(verb: str, *arguments: str | Path) -> bool:
    (binary,) = binaries()
    command = [binary, verb, *arguments, "--config", ROOT / "buf.yaml"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def install_buf() -> str | None:
    """Bring the pinned buf, or say why it cannot be here."""
    installed, wanted = BUF_HOME / "node_modules/.package-lock.json", BUF_HOME / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= wanted.stat().st_mtime and binaries():
        return None
    npm = shutil.which("npm")
    if npm is None:
        return "npm, which brings buf, is not installed"
    # The binary is inside its package, so no install script has to run.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    run = subprocess.run(command, cwd=BUF_HOME, check=False, capture_output=True, text=True)
    if run.returncode:
        return f"npm could not install buf:\n{(run.stderr or run.stdout)[:MESSAGE_MAX]}"
    return None if binaries() else "buf has no binary for this kind of machine"


def binaries() -> list[Path]:
    """Of the packages, one a kind of machine, npm installs only the one that runs here."""
    return list(BUF_HOME.glob("node_modules/@bufbuild/*/bin/buf"))


def skip(reason: str) -> int:
    """Without buf the other checks still have their worth, unless nothing may be left out."""
    if os.environ.get("REQUIRE_ALL") == "1":
        return complain(reason)
    print(f"check_protos: skipped, since {reason}")
    return 0


def complain(sentence: str) -> int:
    print(f"check_protos: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
