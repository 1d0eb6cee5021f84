"""Where logins are kept: one file for each provider and client, readable by its owner only."""

import hashlib
import json
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ctabatch.config.iam import Provider
from ctabatch.files import replacing
from ctabatch.iam.errors import IamError

#: A token is renewed before it ends: so many seconds before, or after three quarters of its life.
MARGIN = 300
#: Longest life that is believed, seconds.
LONGEST = 366 * 86400


@dataclass(frozen=True)
class Token:
    """An access token; times are of this machine's clock, in seconds since 1970."""

    access_token: str = field(repr=False)
    obtained: float
    expires: float
    scope: str = ""

    @classmethod
    def of_answer(cls, answer: dict[str, Any]) -> "Token":
        """Read a token endpoint's answer; without a life time one hour is assumed."""
        now = time.time()
        life = min(float(answer.get("expires_in") or 3600), LONGEST)
        return cls(answer["access_token"], now, now + life, answer.get("scope") or "")

    @property
    def valid(self) -> bool:
        """Whether it has not ended."""
        return time.time() < self.expires

    @property
    def fresh(self) -> bool:
        """Whether it need not be renewed yet."""
        margin = min(MARGIN, (self.expires - self.obtained) / 4)
        return time.time() < self.expires - margin


@dataclass(frozen=True)
class Login:
    """What is known after a login; `tokens` by service, the empty name is the login's own."""

    issuer: str
    client_id: str
    subject: str
    claims: dict[str, Any]
    refresh_token: str | None = field(default=None, repr=False)
    tokens: dict[str, Token] = field(default_factory=dict)

    def with_token(self, service: str, token: Token, refresh_token: str | None) -> "Login":
        """Return the login with a new token; the old refresh token stays where none is given."""
        return replace(
            self,
            tokens=self.tokens | {service: token},
            refresh_token=refresh_token or self.refresh_token,
        )


def state_folder() -> Path:
    """Return the folder of the logins, below the user's state folder (``XDG_STATE_HOME``)."""
    import platformdirs

    return platformdirs.user_state_path("ctabatch") / "logins"


class LoginStore:
    """The login of one provider.

    Parameters
    ----------
    name : str
        Of the provider in the configuration.
    provider : ctabatch.config.iam.Provider
        Issuer and client: another one under the same name is another login.
    """

    def __init__(self, name: str, provider: Provider):
        self.provider = provider
        key = f"{provider.issuer.rstrip('/')} {provider.client_id}"
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        self.path = state_folder() / f"{name}-{digest}.json"

    def load(self) -> Login | None:
        """Read the login; None where there is none.

        Raises
        ------
        ctabatch.iam.errors.IamError
            Others may read the file, or it is damaged.
        """
        try:
            mode = self.path.stat().st_mode
            content = json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise IamError(
                f"{self.path}: {getattr(error, 'strerror', None) or 'is damaged'}",
                "delete it and log in again: cta-batch login",
            ) from None
        if stat.S_IMODE(mode) & 0o077:
            raise IamError(
                f"others may read the login {self.path}",
                "chmod 600 it; where others may have read it: cta-batch logout, then log in again",
            )
        try:
            tokens = {name: Token(**token) for name, token in content.pop("tokens").items()}
            return Login(**content, tokens=tokens)
        except (AttributeError, KeyError, TypeError):
            raise IamError(
                f"{self.path} is damaged", "delete it and log in again: cta-batch login"
            ) from None

    def save(self, login: Login) -> None:
        """Write the login as a whole, readable by its owner only."""
        self._make_folder()
        content = {
            "issuer": login.issuer,
            "client_id": login.client_id,
            "subject": login.subject,
            "claims": login.claims,
            "refresh_token": login.refresh_token,
            "tokens": {name: vars(token) for name, token in login.tokens.items()},
        }
        with replacing(self.path, private=True) as temporary:
            temporary.write_text(json.dumps(content))

    def delete(self) -> None:
        """Forget the login."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from renewing the same login: its refresh token works once."""
        from filelock import FileLock, Timeout

        self._make_folder()
        # Whoever holds it asks the provider for `patience` seconds at most.
        try:
            with FileLock(f"{self.path}.lock", timeout=self.provider.patience + 120, mode=0o600):
                yield
        except Timeout:
            raise IamError(
                f"another process holds {self.path}.lock", "end it, or wait and try again"
            ) from None

    def _make_folder(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if stat.S_IMODE(self.path.parent.stat().st_mode) & 0o077:
            self.path.parent.chmod(0o700)
