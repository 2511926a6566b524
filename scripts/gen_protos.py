"""Turns protos/ into generated/: the only way in which that folder changes.

Run it with .venv-proto's Python: generated code refuses runtimes older than its generator, so that
one is old.  The same protos and lock give the same bytes, so `--check` compares them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GENERATED = ROOT / "generated"
SHOWN_MAX = 20


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="change nothing, fail if generated/ is stale")
    check = options.parse_args().check
    with tempfile.TemporaryDirectory(prefix="saga-protos-") as scratch:
        fresh = Path(scratch)
        if not generate(fresh):
            return 1
        if check:
            return report(differences(fresh, GENERATED))
        replace(fresh, GENERATED)
    return 0


def protoc(*arguments: str) -> bool:
    """Run protoc over every file of protos/, with the google protos that the lock brings."""
    google = sysconfig.get_path("purelib")
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(PROTOS), "-I", google]
    sources = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    if not sources:
        print("gen_protos: there is no .proto file under protos/", file=sys.stderr)
        return False
    run = subprocess.run([*command, *arguments, *sources], capture_output=True, text=True, check=False)
    # mypy-protobuf tells each file that it writes; only what is wrong is worth a line.
    for line in (run.stdout + run.stderr).splitlines():
        if not line.startswith("Writing mypy to "):
            print(line, file=sys.stderr)
    return run.returncode == 0


def generate(target: Path) -> bool:
    """Write messages, services and their types to *target*, as importable packages."""
    scripts = Path(sysconfig.get_path("scripts"))
    plugins = [f"--plugin={name}={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    outputs = [f"--{kind}_out={target}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    if not protoc(*plugins, *outputs):
        return False
    folders = {
        folder for path in target.rglob("*.py") for folder in path.parents if folder.is_relative_to(target)
    }
    for folder in folders - {target}:
        (folder / "__init__.py").touch()
    for package in target.iterdir():
        (package / "py.typed").touch()
    return True


def differences(fresh: Path, kept: Path) -> list[str]:
    """Name each file that is missing, left over or different in *kept*."""
    new, old = set(files_under(fresh)), set(files_under(kept))
    changed = (name for name in new & old if (fresh / name).read_bytes() != (kept / name).read_bytes())
    found = [(name, "is missing") for name in new - old]
    found += [(name, "is left over: no .proto makes it") for name in old - new]
    found += [(name, "is stale") for name in changed]
    return [f"generated/{name} {what}" for name, what in sorted(found)]


def report(stale: list[str]) -> int:
    if not stale:
        return 0
    print("\n".join(stale[:SHOWN_MAX]), file=sys.stderr)
    if len(stale) > SHOWN_MAX:
        print(f"... and {len(stale) - SHOWN_MAX} more", file=sys.stderr)
    print("gen_protos: run `make proto`, then commit generated/", file=sys.stderr)
    return 1


def replace(fresh: Path, kept: Path) -> None:
    """Bring *kept* to what *fresh* says.  A file that stays the same is not touched."""
    stale = differences(fresh, kept)
    for name in set(files_under(kept)) - set(files_under(fresh)):
        (kept / name).unlink()
    for name in files_under(fresh):
        content = (fresh / name).read_bytes()
        target = kept / name
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    print(f"gen_protos: {len(stale) or 'no'} file(s) of generated/ changed")


def files_under(folder: Path) -> Iterable[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


if __name__ == "__main__":
    sys.exit(main())
