"""Shared by the tests that need a Rucio server."""

import contextlib
import json
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from pathlib import Path

from ctabatch.config.lake import LakeSettings

DISK, TAPE, XROOTD = "CTAO-DISK", "CTAO-TAPE", "CTAO-XROOTD"
ROOT = "/ctao.dpps.test/dpps"


def path_of(replica):
    """File of a replica, where the storage is a folder of this machine."""
    parts = urllib.parse.urlsplit(replica.uri)
    return Path(parts.path) if parts.scheme == "file" else None


def lake_settings(env, account="operator", scope="dpps", **changes):
    """Settings of a lake on the server of a stack; `changes` go to the section ``rucio``."""
    rucio = {
        "host": env["RUCIO_HOST"],
        "account": account,
        "password_file": Path(env["RUCIO_PASSWORDS"]) / account,
        "patience": 600,
        "boosts": 1,
        **changes,
    }
    return LakeSettings.model_validate(
        {
            "backend": "rucio",
            "scope": scope,
            "default_rse": DISK,
            "staging_rse": DISK,
            "rucio": rucio,
        }
    )


def set_faults(env, **faults):
    """Ask the transfer tool of the stack for failures; nothing ends them."""
    path = Path(env["RUCIO_FAULTS"])
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(faults))
    temporary.replace(path)


def oidc_token(env, life=3600, **claims):
    """Get a token from the issuer of the stack; `life` in seconds."""
    data = urllib.parse.urlencode({"sub": "operator", "life": life, **claims}).encode()
    with urllib.request.urlopen(f"{env['RUCIO_ISSUER']}token", data) as answer:
        return json.load(answer)["access_token"]


def write_private(path, text):
    """Write a file that only its owner reads."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def forget_tokens(env):
    """Make the server refuse all tokens it gave out, as if they had expired."""
    subprocess.run(
        ["psql", "-q", env["RUCIO_DATABASE"], "-c", "delete from rucio.tokens"], check=True
    )
    with socket.create_connection(("127.0.0.1", int(env["RUCIO_MEMCACHED"]))) as cache:
        cache.sendall(b"flush_all\r\n")
        assert cache.recv(10).startswith(b"OK")


class CuttingProxy:
    """Forwards connections to a server, and cuts the answer to one request after some bytes.

    Parameters
    ----------
    port : int
        Of the server.
    word : bytes
        The request that contains it is cut, once.
    after : int
        Bytes of the answer that are let through.
    """

    def __init__(self, port, word, after):
        self.target, self.word, self.after, self.cuts = port, word, after, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            state = {}
            threading.Thread(target=self._up, args=(client, server, state), daemon=True).start()
            threading.Thread(target=self._down, args=(client, server, state), daemon=True).start()

    def _up(self, client, server, state):
        try:
            while data := client.recv(65536):
                if self.word in data and not self.cuts:
                    self.cuts, state["left"] = 1, self.after
                server.sendall(data)
        except OSError:
            return

    def _down(self, client, server, state):
        try:
            while data := server.recv(65536):
                if "left" in state:
                    client.sendall(data[: state["left"]])
                    state["left"] -= len(data)
                    if state["left"] <= 0:
                        break
                else:
                    client.sendall(data)
        except OSError:
            pass
        for side in (client, server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()

    def close(self):
        """Take no more connections."""
        self.listener.close()


def dids_of(files):
    """DIDs of files."""
    return [item.did for item in files]
