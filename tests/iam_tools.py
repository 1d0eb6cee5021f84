"""Shared by the tests that need an identity provider: settings, and a person at its pages."""

import base64
import contextlib
import io
import json
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

from ctabatch.cli.main import run
from ctabatch.config.model import Configuration
from ctabatch.iam import session
from ctabatch.iam.store import LoginStore

PERSON = Path(__file__).resolve().parents[1] / "scripts/stack/iam_person.py"
CTA_BATCH = Path(sys.executable).with_name("cta-batch")


def iam_settings(issuer, name="escape", **changes):
    """Section ``iam`` for the provider of the stack; `changes` go to its provider."""
    provider = {
        "issuer": issuer,
        "client_id": "cta-batch",
        "scopes": ["openid", "profile", "offline_access", "wlcg.groups", "storage.read"],
        "claims": {
            "roles": [
                {"group": "/escape/cta", "gives": "member"},
                {"group": "/escape/cta/operators", "gives": "operator"},
            ],
            "projects": [
                {"group": "/escape/cta/projects/(P[0-9]+)", "gives": "\\1"},
                {"group": "/escape/cta/operators", "gives": "*"},
            ],
        },
        "services": {
            "lake": {"resource": "urn:cta:rucio", "scopes": ["openid", "storage.read"]},
            "storage": {"audience": "storage", "scopes": ["storage.read"], "exchange": True},
        },
        "patience": 1,
        **changes,
    }
    return {"providers": {name: provider}}


def configuration(iam, **sections):
    """A whole configuration with a section ``iam``."""
    return Configuration.model_validate({"iam": iam, **sections})


def visit(address, user="pi", deny=False):
    """Go through the provider's pages in this process."""
    sys.path.insert(0, str(PERSON.parent))
    import iam_person

    return iam_person.visit(address, user, deny)


def log_in(config, user="pi", name="escape", deny=False, **options):
    """Log a person in by device code; returns the identity."""

    def approve(invitation):
        end = visit(invitation.address, user, deny)
        assert deny or "success" in end, end

    return session.login(name, config.iam.providers[name], invite=approve, **options)


def cta_batch(*arguments):
    """Run a command in this process; a traceback (``--debug``) counts as its error output."""
    out, errors = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            run([str(item) for item in arguments])
        except SystemExit as end:
            code = end.code or 0
        except Exception:
            code = 1
            traceback.print_exc()
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), errors.getvalue())


def age(provider, service, left, name="escape"):
    """Make a cached token look old: it ends in `left` seconds, and should be renewed."""
    store = LoginStore(name, provider)
    login = store.load()
    token = replace(login.tokens[service], obtained=0, expires=time.time() + left)
    store.save(replace(login, tokens=login.tokens | {service: token}))
    return token.access_token


def claims_of(token):
    """Claims of a JWT, unverified."""
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def secrets_in(folder):
    """All tokens that lie in the logins below a state folder."""
    found = set()
    for path in folder.rglob("logins/*.json"):
        content = json.loads(path.read_text())
        found |= {content["refresh_token"]} | {
            token["access_token"] for token in content["tokens"].values()
        }
    return found - {None}
