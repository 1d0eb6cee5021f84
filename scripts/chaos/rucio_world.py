"""A campaign on a Rucio server of the test stack: server, daemons and storage die, too."""

from pathlib import Path
from urllib.parse import urlsplit

from stack_world import StackWorld, wait_for_none


class RucioWorld(StackWorld):
    """Rucio with its daemons; products on an XRootD server, DL0 on the stack's tape."""

    name = "rucio"
    parts = ("rucio",)
    servers = (
        ("rucio", "server", "Rucio's server"),
        ("rucio", "daemons", "Rucio's daemons"),
        ("rucio", "xrootd", "Rucio's xrootd"),
    )
    tape = "CTAO-TAPE"

    def sections(self):
        """Sections of the requests that belong to this world."""
        env = self.states["rucio"].env()
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

    def leftovers(self):
        """Stored files that Rucio does not know; copies that were given up are waited for."""
        for path in sorted(wait_for_none(self._unknown)):
            yield f"stored file that Rucio does not know: {path}"

    def _unknown(self):
        from ctabatch.config.load import load_config
        from ctabatch.lake.open import open_lake

        lake = open_lake(load_config(self.folder / "requests/base.yaml").lake)
        dids = list(lake.search("", columns=[])["did"])
        # the path of an XRootD address begins at the storage, that of a file at the root
        known = {_tail(item.uri) for item in lake.replicas(dids)}
        storage = Path(self.states["rucio"].env()["RUCIO_STORAGE"])
        return {
            str(path)
            for path in storage.rglob("*")
            if path.is_file() and not any(str(path).endswith(tail) for tail in known)
        }


def _tail(uri):
    return urlsplit(uri).path.replace("//", "/")
