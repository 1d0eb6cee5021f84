"""A campaign on a Rucio server of the test stack: server, daemons and storage die, too."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from worlds import REPOSITORY, LocalWorld, WorldError

STACK = REPOSITORY / "scripts/stack"
sys.path.insert(0, str(STACK))

import common  # noqa: E402

#: Longest wait for Rucio's daemons to delete what was given up, seconds.
PATIENCE = 120


class RucioWorld(LocalWorld):
    """Rucio with its daemons; products on an XRootD server, DL0 on the stack's tape."""

    name = "rucio"
    kinds = (*LocalWorld.kinds, "server", "server", "server")
    servers = ("server", "daemons", "xrootd")
    tape = "CTAO-TAPE"

    def __enter__(self):
        self.instance = f"chaos-{os.getpid()}"
        self.state = common.State("rucio", self.instance)
        self.stack("up")
        try:
            return super().__enter__()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *exception):
        self.stack("down", "--purge")

    def stack(self, action, *options):
        """Call the command of the test stacks."""
        command = [sys.executable, STACK / "stack.py", action, "rucio", "--instance", self.instance]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        if done.returncode:
            raise WorldError(f"the Rucio stack: {done.stderr.strip()}")

    def sections(self):
        """Sections of the requests that belong to this world."""
        env = self.state.env()
        lake = {
            "backend": "rucio",
            "scope": "dpps",
            "default_rse": env["RUCIO_XROOTD"],
            "staging_rse": env["RUCIO_DISK"],
            "rucio": {
                "host": env["RUCIO_HOST"],
                "account": "operator",
                "password_file": str(Path(env["RUCIO_PASSWORDS"]) / "operator"),
                "patience": 600,
            },
        }
        # nobody logs in here, and data of a project in a shared lake are for its members
        return {"lake": lake, "iam": {"local_projects": [self.proposal]}}

    def kill_server(self, generator):
        """Kill a server of the stack, and start it again after some seconds."""
        name, pause = generator.choice(self.servers), generator.uniform(0.5, 5)
        os.killpg(self.state.pid(name), signal.SIGKILL)
        time.sleep(pause)
        self.stack("up")
        return f"Rucio's {name} (for {pause:.1f} s)"

    def leftovers(self):
        """Stored files that Rucio does not know; copies that were given up are waited for."""
        end = time.monotonic() + PATIENCE
        while unknown := self._unknown():
            if time.monotonic() > end:
                break
            time.sleep(1)
        for path in sorted(unknown):
            yield f"stored file that Rucio does not know: {path}"

    def _unknown(self):
        from ctabatch.config.load import load_config
        from ctabatch.lake.open import open_lake

        lake = open_lake(load_config(self.folder / "requests/base.yaml").lake)
        dids = list(lake.search("", columns=[])["did"])
        # the path of an XRootD address begins at the storage, that of a file at the root
        known = {_tail(item.uri) for item in lake.replicas(dids)}
        storage = Path(self.state.env()["RUCIO_STORAGE"])
        return {
            str(path)
            for path in storage.rglob("*")
            if path.is_file() and not any(str(path).endswith(tail) for tail in known)
        }


def _tail(uri):
    return urlsplit(uri).path.replace("//", "/")
