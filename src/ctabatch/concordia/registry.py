"""Ask an OCI registry whether it has an image; pushing and pulling is Apptainer's business."""

import json
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tenacity import before_sleep_log, retry, retry_if_exception_type, stop_after_attempt
from tenacity import wait_exponential_jitter as backoff

from ctabatch.errors import BatchError

ACCEPT = "application/vnd.oci.image.manifest.v1+json"
SIF = "application/vnd.sylabs.sif.layer.v1.sif"
TIMEOUT = 10
#: Seconds after which a tag set at the same moment by somebody else is there.
SETTLE = 1.0
#: Where Apptainer keeps logins, depending on its version; below the home folder.
LOGINS = (".docker/config.json", ".apptainer/docker-config.json")
log = logging.getLogger(__name__)


class RegistryError(BatchError):
    """The registry can't be asked, or gives an answer that makes no sense."""


class _UnavailableError(Exception):
    """Worth another attempt."""


@dataclass(frozen=True)
class Found:
    """An image in a registry: address with tag, SHA-256 of the SIF file and its size in bytes."""

    address: str
    sha256: str
    size: int


def find(registry, tag: str) -> Found | None:
    """Look an image up by its tag.

    Parameters
    ----------
    registry : ctabatch.config.concordia.Registry
        Where to ask.
    tag : str
        The options digest.

    Returns
    -------
    Found or None
        None if the registry answers that it has no such image.

    Raises
    ------
    RegistryError
        It does not answer after three attempts, refuses, or holds something that is no image.
    """
    try:
        head = _ask(registry, f"manifests/{tag}", "HEAD")
        if head is None:
            return None
        manifest = json.loads(_ask(registry, f"manifests/{tag}", "GET"))
    except (_UnavailableError, json.JSONDecodeError) as error:
        raise RegistryError(
            f"the registry of {registry.address} does not answer: {error}",
            "try again later, or leave images.registry out to build here",
        ) from None
    layers = [item for item in manifest.get("layers", []) if item.get("mediaType") == SIF]
    if len(layers) != 1 or not layers[0].get("digest", "").startswith("sha256:"):
        raise RegistryError(f"{registry.address}:{tag} is not an Apptainer image")
    sha256 = layers[0]["digest"].removeprefix("sha256:")
    return Found(f"{registry.address}:{tag}", sha256, int(layers[0]["size"]))


def publish(registry, upload: str, tag: str) -> Found:
    """Give an uploaded image its final tag, unless somebody else was faster; returns whose it is.

    A registry can't be told "only if absent". The upload, which takes long, goes to a tag of its own;
    between the last look and the final tag there is one small request only, and whoever tagged last
    is asked for after a while.

    Parameters
    ----------
    registry : ctabatch.config.concordia.Registry
        Where the image was uploaded to.
    upload, tag : str
        Tag of the upload, and the options digest.
    """
    found = find(registry, tag)
    if found is not None:
        return found
    try:
        manifest = _ask(registry, f"manifests/{upload}", "GET")
        if manifest is not None:
            _ask(registry, f"manifests/{tag}", "PUT", manifest)
            time.sleep(SETTLE)
            found = find(registry, tag)
    except _UnavailableError as error:
        raise RegistryError(
            f"the registry of {registry.address} does not answer: {error}", "try again later"
        ) from None
    if found is None:
        raise RegistryError(f"the registry of {registry.address} lost what was pushed", "try again")
    return found


@retry(
    retry=retry_if_exception_type(_UnavailableError),
    stop=stop_after_attempt(3),
    wait=backoff(multiplier=0.2, max=3),
    before_sleep=before_sleep_log(log, logging.WARNING),
    reraise=True,
)
def _ask(registry, what: str, method: str, data: bytes | None = None) -> bytes | None:
    host, _, repository = registry.address.partition("/")
    scheme = "http" if registry.insecure else "https"
    request = Request(f"{scheme}://{host}/v2/{repository}/{what}", data, method=method)
    request.add_header("Accept", ACCEPT)
    if data is not None:
        request.add_header("Content-Type", ACCEPT)
    try:
        return _open(request)
    except HTTPError as error:
        if error.code == 401 and (token := _token(error.headers, host)):
            request.add_header("Authorization", token)
            try:
                return _open(request)
            except HTTPError as second:
                error = second
        if error.code == 404:
            return None
        if error.code >= 500 or error.code == 429:
            raise _UnavailableError(f"HTTP {error.code}") from None
        raise RegistryError(
            f"the registry of {registry.address} refuses: HTTP {error.code}",
            "check the address, and log in with 'apptainer registry login'",
        ) from None


def _open(request: Request) -> bytes:
    try:
        with urlopen(request, timeout=TIMEOUT) as answer:
            return answer.read(1_000_000)
    except HTTPError:
        raise
    except (URLError, OSError) as error:
        raise _UnavailableError(str(getattr(error, "reason", error))) from None


def _token(headers, host: str) -> str | None:
    """Answer a challenge: Basic, or Bearer by the token service that it names."""
    challenge = headers.get("WWW-Authenticate", "")
    stored = _stored_login(host)
    if challenge.lower().startswith("basic"):
        return f"Basic {stored}" if stored else None
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = fields.pop("realm", "")
    if not realm.startswith("https://"):
        return None
    request = Request(f"{realm}?{urlencode(fields)}")
    if stored:
        request.add_header("Authorization", f"Basic {stored}")
    answer = json.loads(_open(request))
    return f"Bearer {answer.get('token') or answer.get('access_token')}"


def _stored_login(host: str) -> str | None:
    """Return the login that ``apptainer registry login`` stored for a host, as Basic wants it."""
    for path in LOGINS:
        file = Path.home() / path
        if not file.is_file():
            continue
        for name, login in json.loads(file.read_text()).get("auths", {}).items():
            if name.removeprefix("https://").partition("/")[0] == host and login.get("auth"):
                return login["auth"]
    return None
