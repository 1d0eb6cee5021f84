"""An XRootD server, the scratch storage of grid sites: loopback interface, no login."""

import shutil

from common import StackError, State, apt_install, port_answers, service_user, wait_for

PACKAGES = ["xrootd-server"]


def install() -> None:
    """Install the Debian package."""
    apt_install(PACKAGES)


def installed() -> bool:
    """Tell whether the server is there."""
    return shutil.which("xrootd") is not None


#: Characters of the storage's folder; a socket's path has at most 107, XRootD adds some 20.
LONGEST = 86


def start_storage(state: State) -> str:
    """Start the server, below ``storage`` of a state folder; returns the address of its root."""
    if not installed():
        raise StackError("not installed: run stack.py install xrootd")
    port, folder = state.port("storage"), state.folder / "storage"
    if len(str(folder)) > LONGEST:
        raise StackError(f"{folder} is too long for XRootD's sockets: choose a shorter STACK_DIR")
    user = service_user("xrootd")
    for path in (folder / "data" / "scratch", folder / "admin"):
        path.mkdir(parents=True, exist_ok=True)
    configuration = folder / "xrootd.cfg"
    configuration.write_text(
        f"xrd.port {port}\nxrd.network nodnr\nall.export /scratch\n"
        # a file whose writer dies before it is closed is removed
        "ofs.persist auto hold 0\n"
        f"oss.localroot {folder}/data\nall.adminpath {folder}/admin\nall.pidpath {folder}/admin\n"
    )
    if user:
        for path in (folder, folder / "data", folder / "data" / "scratch", folder / "admin"):
            shutil.chown(path, user, user)
    state.spawn("storage", ["xrootd", "-c", configuration], user=user)
    wait_for(lambda: port_answers(port), "XRootD", alive=lambda: state.alive("storage"))
    return f"root://127.0.0.1:{port}//scratch"


def up(state: State) -> None:
    """Start the server."""
    address = start_storage(state)
    folder = state.folder / "storage/data/scratch"
    state.write_env({"XROOTD_STORAGE": address, "XROOTD_FOLDER": str(folder)})


def down(state: State) -> None:
    """Stop the server."""
    state.stop("storage")
