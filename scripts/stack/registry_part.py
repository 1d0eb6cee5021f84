"""OCI registry for container images: Debian's docker-registry on loopback, plain HTTP.

Its images lie in the state folder. ``env.json`` gives ``CONCORDIA_REGISTRY``, host and port.
Installing this part installs Apptainer too, which pushes to it and pulls from it.
"""

import shutil
import sys
from pathlib import Path

from common import State, apt_install, port_answers, wait_for

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import apptainer_install

CONFIG = """version: 0.1
log:
  level: info
  accesslog:
    disabled: false
storage:
  filesystem:
    rootdirectory: {folder}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:{port}
  headers:
    X-Content-Type-Options: [nosniff]
"""


def install() -> None:
    """Install the registry and Apptainer."""
    apt_install(["docker-registry"])
    apptainer_install.install()


def installed() -> bool:
    """Tell whether `install` was run."""
    return shutil.which("docker-registry") is not None and apptainer_install.installed()


def up(state: State) -> None:
    """Start the registry."""
    port = state.port("registry")
    folder = state.folder / "data"
    folder.mkdir(exist_ok=True)
    config = state.private("registry.yml", CONFIG.format(folder=folder, port=port))
    state.spawn("registry", ["docker-registry", "serve", config])
    wait_for(lambda: port_answers(port), "registry", 20, lambda: state.alive("registry"))
    state.write_env({"CONCORDIA_REGISTRY": f"127.0.0.1:{port}"})


def down(state: State) -> None:
    """Stop the registry."""
    state.stop("registry")
