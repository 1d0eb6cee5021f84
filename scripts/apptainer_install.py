#!/usr/bin/env python3
"""Install Apptainer so that building and running images works, for root and ordinary users.

    apptainer_install.py [USER ...]      run as root; USERs get subordinate ids for --fakeroot

Takes the distribution's own package where there is one. Debian 11 to 13 have none: there the
package of Debian's unstable suite is unpacked together with the newer C library that it wants, in
a folder of its own (``/opt/apptainer``), and its two programs are pointed at that library. Every
package is checked against the suite's index, and the index against the signature of the Debian
archive. The mirror is the one that apt uses on this machine. Doing it twice changes nothing.
"""

import hashlib
import lzma
import os
import platform
import pwd
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "stack"))

from common import StackError, apt_install, run

PRIVATE = Path("/opt/apptainer")
SUITE = "sid"
PACKAGES = ("apptainer", "libc6", "libgcc-s1", "libseccomp2", "libsqlite3-0")
#: squashfuse and fuse2fs let ordinary users run images where loop mounts are not allowed.
HELPERS = (
    "squashfs-tools",
    "squashfuse",
    "fuse2fs",
    "fuse-overlayfs",
    "fakeroot",
    "uidmap",
    "debootstrap",
    "ca-certificates",
    "openssl",
)
UNPACKERS = ("patchelf", "gpgv", "debian-archive-keyring")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
#: Root builds images as this user: root without all capabilities can't, and never needs to.
BUILD_USER = "ctabuild"
TRIPLETS = {
    "x86_64": ("amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "aarch64": ("arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
}
WRAPPER = """#!/bin/sh
# Root without a full set of capabilities gets one inside a user namespace of its own.
if [ "$(id -u)" = 0 ] && [ -z "${CTABATCH_USERNS:-}" ]; then
    CTABATCH_USERNS=1 exec unshare -r /usr/bin/apptainer "$@"
fi
exec /usr/bin/apptainer "$@"
"""


def installed() -> bool:
    """Tell whether an apptainer is there that starts."""
    program = shutil.which("apptainer")
    return (
        bool(program)
        and subprocess.run([program, "--version"], capture_output=True).returncode == 0
    )


def _packaged() -> bool:
    policy = run(["apt-cache", "policy", "apptainer"], env={**os.environ, "LC_ALL": "C"}).stdout
    return "Candidate:" in policy and "Candidate: (none)" not in policy


def mirror() -> str:
    """Return the address of the Debian archive that apt is configured with, ending in ``/``."""
    targets = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages"])
    for address in targets.stdout.split():
        if address.rstrip("/").endswith("/debian"):
            return address.rstrip("/") + "/"
    raise StackError("apt is configured with no Debian archive: install apptainer by other means")


def _download(address: str, path: Path, sha256: str | None = None) -> None:
    with urllib.request.urlopen(address, timeout=120) as answer, path.open("wb") as stream:
        shutil.copyfileobj(answer, stream)
    if sha256 and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        path.unlink()
        raise StackError(f"{address} does not have the checksum of the signed index")


def _signed_index(base: str, folder: Path, architecture: str) -> dict[str, dict[str, str]]:
    """Return the paragraphs of the wanted packages from the index, after checking its signature."""
    _download(f"{base}dists/{SUITE}/InRelease", folder / "InRelease")
    # Several keys sign; an older keyring knows some of them only, and one good signature suffices.
    checked = subprocess.run(
        ["gpgv", "--keyring", KEYRING, "--output", folder / "Release", folder / "InRelease"],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    if "Good signature" not in checked.stderr:
        raise StackError(f"the index of {SUITE} has no good signature: {checked.stderr.strip()}")
    name = f"main/binary-{architecture}/Packages.xz"
    sums = (folder / "Release").read_text().partition("\nSHA256:\n")[2]
    wanted = next(
        line.split()[0]
        for line in sums.splitlines()
        if line.startswith(" ") and line.split()[2] == name
    )
    _download(f"{base}dists/{SUITE}/{name}", folder / "Packages.xz", wanted)
    found = {}
    for paragraph in lzma.decompress((folder / "Packages.xz").read_bytes()).decode().split("\n\n"):
        package = paragraph.partition("\n")[0].removeprefix("Package: ")
        if package in PACKAGES:
            pairs = (line.partition(": ") for line in paragraph.splitlines() if line[:1] != " ")
            found[package] = {key: value for key, _, value in pairs}
    return found


def _from_unstable() -> None:
    architecture, triplet, loader = TRIPLETS[platform.machine()]
    apt_install(UNPACKERS)
    base = mirror()
    root = PRIVATE / "root"
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = _signed_index(base, folder, architecture)
        for package in PACKAGES:
            if package not in index:
                raise StackError(f"{SUITE} has no package {package}")
            archive = folder / f"{package}.deb"
            _download(base + index[package]["Filename"], archive, index[package]["SHA256"])
            run(["dpkg-deb", "-x", archive, root])
    # Paths are compiled in: the files must lie where the package would have put them.
    libexec = Path("/usr/lib") / triplet / "apptainer"
    shutil.rmtree(libexec, ignore_errors=True)
    shutil.copytree(root / libexec.relative_to("/"), libexec, symlinks=True)
    shutil.copy2(root / "usr/bin/apptainer", "/usr/bin/apptainer")
    if not Path("/etc/apptainer").exists():
        shutil.copytree(root / "etc/apptainer", "/etc/apptainer", symlinks=True)
    Path("/var/lib/apptainer/mnt/session").mkdir(parents=True, exist_ok=True)
    libraries = root / "usr/lib" / triplet
    for program in ("/usr/bin/apptainer", libexec / "bin/starter"):
        run(["patchelf", "--set-interpreter", libraries / loader, program])
        run(["patchelf", "--force-rpath", "--set-rpath", libraries, program])


def _lacks_capabilities() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return effective != (1 << (last + 1)) - 1


def _subordinate_ids(user: str) -> None:
    number = pwd.getpwnam(user).pw_uid
    line = f"{user}:{100_000 + number % 10_000 * 65_536}:65536\n"
    for path in (Path("/etc/subuid"), Path("/etc/subgid")):
        lines = path.read_text() if path.exists() else ""
        if not any(item.startswith(f"{user}:") for item in lines.splitlines()):
            path.write_text(lines + line)


def install(users=()) -> None:
    """Install Apptainer, its helpers and the user that builds for root."""
    if os.geteuid() != 0:
        if installed():
            return
        raise StackError("apptainer is absent: run scripts/apptainer_install.py as root")
    apt_install(HELPERS)
    if not installed():
        if _packaged():
            apt_install(["apptainer"])
        else:
            _from_unstable()
    if not installed():
        raise StackError("apptainer was installed, but does not start")
    # udev would do this, where there is one.
    fuse = Path("/dev/fuse")
    if fuse.exists():
        fuse.chmod(0o666)
    try:
        pwd.getpwnam(BUILD_USER)
    except KeyError:
        run(["useradd", "--system", "--create-home", "--shell", "/usr/sbin/nologin", BUILD_USER])
    for user in (BUILD_USER, *users):
        _subordinate_ids(user)
    if _lacks_capabilities():
        wrapper = Path("/usr/local/bin/apptainer")
        wrapper.write_text(WRAPPER)
        wrapper.chmod(0o755)


if __name__ == "__main__":
    try:
        install(sys.argv[1:])
    except (StackError, OSError) as error:
        sys.exit(f"apptainer_install: error: {error}")
    version = run(["apptainer", "--version"]).stdout.strip()
    print(f"{version}: {shutil.which('apptainer')}")
