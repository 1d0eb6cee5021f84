"""CORSIKA images with a stand-in for its source: built, tested, signed, pushed, pulled, run.

The stand-in's ``coconut`` is strict about what it is given and compiles a small real program.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pytest

from concordia_site import make_key
from ctabatch.concordia import apptainer, registry
from ctabatch.concordia.base import sha256_of
from ctabatch.concordia.build import obtain
from ctabatch.concordia.lookup import request_digest
from ctabatch.concordia.manifest import collect
from ctabatch.concordia.plan import Plan, make_plan
from ctabatch.concordia.runs import RunFailed, perform
from ctabatch.concordia.store import Store
from ctabatch.config.concordia import ConcordiaRequest
from ctabatch.errors import BatchError, IntegrityError
from ctabatch.files import write_json
from require import require

STANDIN = Path(__file__).parent / "standin"
CARD = {
    "primary": "gamma",
    "energy_min": "30 GeV",
    "energy_max": "10 TeV",
    "zenith_min": "20 deg",
    "zenith_max": "20 deg",
    "showers_per_run": 50,
    "detectors": [{"x": "0 m", "y": "0 m", "radius": "12 m"}],
}

#: Images are built from the network, on machines that may be busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def make_archive(path, **extra):
    """Pack the stand-in's source; `extra` are further files in its top folder."""
    with tarfile.open(path, "w:gz") as stream:
        stream.add(STANDIN, "corsika-78010")
        for name, text in extra.items():
            file = path.parent / name
            file.write_text(text)
            stream.add(file, f"corsika-78010/{name.replace('_', '-')}")
    return {"archive": str(path), "sha256": sha256_of(path)}


class Site:
    """A place with a source archive, keys and perhaps a registry; makes requests."""

    def __init__(self, folder, address):
        self.folder, self.address = folder, address
        self.source = make_archive(folder / "corsika.tar.gz")
        self.private, self.public = make_key(folder, "ours")

    def request(self, store, **changes):
        """Make a request with a store of a name."""
        images = {
            "store": str(self.folder / store),
            "keys": {"sign": str(self.private), "trusted": [str(self.public)]},
            **changes.pop("images", {}),
        }
        content = {
            "name": "standin",
            "recipe": {"preset": "cta-iact", "version": "78010", "compiler_flags": ["-O2"]},
            "card": CARD,
            "runs": 2,
            "source": self.source,
            "images": images,
        }
        return ConcordiaRequest(**{**content, **changes})

    def registry(self, name, **changes):
        """Settings of a repository in the registry."""
        address = f"{self.address}/{name}"
        return {"address": address, "private": True, "push": True, "insecure": True, **changes}


@pytest.fixture(scope="module")
def site(tmp_path_factory, start_part):
    """A site with the registry of the stack."""
    require(shutil.which("apptainer"), "apptainer is absent: make stack-install")
    address = start_part("registry").env()["CONCORDIA_REGISTRY"]
    return Site(tmp_path_factory.mktemp("site"), address)


@pytest.fixture(scope="module")
def built(site):
    """A request whose image was built, signed and pushed; with its record."""
    request = site.request("store", images={"registry": site.registry("main")})
    assert make_plan(request)["image"]["steps"][:3] == ["build", "self test", "sign"]
    return request, obtain(request)


def test_image_holds_program_manifest_and_sbom_but_no_source(built):
    request, record = built
    image = Store(request.images.store).image(record["options_digest"])
    assert record["sha256"] == sha256_of(image)
    assert record["self_test"] == "passed"
    assert record["signed_by"] == "ours.pem"
    software = record["manifest"]["software"]
    assert software["executable"] == "corsika78010Linux_QGSJETIII_urqmd"
    assert record["manifest"]["source_sha256"] == request.source.sha256
    listed = json.loads(apptainer.read_inside(image, "/opt/concordia/sbom.json"))
    names = {item["name"] for item in listed["components"]}
    assert "libgfortran5" in names
    assert "gcc" not in names
    found = apptainer.call(["exec", image, "find", "/opt"]).stdout
    assert "config.h" not in found
    assert "corsika.f90" not in found
    assert "coconut" not in found
    assert os.environ["PATH"] not in found


def test_second_build_builds_nothing(built):
    request, record = built
    image = Store(request.images.store).image(record["options_digest"])
    before = image.stat().st_mtime_ns
    assert obtain(request) == record
    assert make_plan(request)["image"]["steps"] == ["use the image of the local store"]
    assert image.stat().st_mtime_ns == before


def test_runs_and_manifest(built, tmp_path):
    request, record = built
    write_json(tmp_path / "plan.json", make_plan(request))
    plan = Plan.read(tmp_path / "plan.json")
    first = perform(plan, 1, tmp_path / "1")
    assert (tmp_path / "1" / "run000001.corsika").stat().st_size == 50 * 16
    assert first["image_sha256"] == record["sha256"]
    content, missing = collect(plan, [tmp_path / "1"])
    assert missing == [2]
    second = perform(plan, 2, tmp_path / "2")
    content, missing = collect(plan, [tmp_path / "1", tmp_path / "2"])
    assert not missing
    assert content["image_sha256"] == record["sha256"]
    assert not set(first["seeds"]) & set(second["seeds"])
    data = [(tmp_path / f"{n}" / f"run00000{n}.corsika").read_bytes()[8:16] for n in (1, 2)]
    assert data[0] != data[1], "other seeds, other showers"
    # Done is done; and the same run elsewhere gives the same bytes.
    assert perform(plan, 1, tmp_path / "1") == first
    again = perform(plan, 1, tmp_path / "elsewhere")
    sums = [
        {item["name"]: item["sha256"] for item in run["outputs"]}["run000001.corsika"]
        for run in (first, again)
    ]
    assert sums[0] == sums[1]


def test_failed_run_leaves_its_log_and_no_folder(built, tmp_path):
    request, _ = built
    write_json(tmp_path / "plan.json", make_plan(request))
    plan = Plan.read(tmp_path / "plan.json")
    broken = apptainer.run
    try:
        # A card that ends early: CORSIKA then stops with exit code 0.
        def cut(image, work, arguments, log):
            card = work / "card"
            card.write_text(card.read_text().replace("EXIT\n", ""))
            return broken(image, work, arguments, log)

        apptainer.run = cut
        with pytest.raises(RunFailed, match="run 1 ended with exit code 3"):
            perform(plan, 1, tmp_path / "1")
    finally:
        apptainer.run = broken
    assert "incomplete cards" in (tmp_path / "1.log").read_text()
    assert not (tmp_path / "1").exists()
    perform(plan, 1, tmp_path / "1")
    assert not (tmp_path / "1.log").exists()


def test_other_site_pulls_what_was_pushed(site, built):
    _, record = built
    request = site.request("other", images={"registry": site.registry("main")})
    plan = make_plan(request)
    assert plan["image"]["action"] == "pull"
    assert plan["image"]["sha256"] == record["sha256"]
    pulled = obtain(request)
    assert (pulled["origin"], pulled["sha256"]) == ("pull", record["sha256"])
    assert pulled["signed_by"] == "ours.pub"


def push(site, repository, digest, image):
    apptainer.push(image, f"{site.address}/{repository}:{digest}", True)


def test_tampered_image_of_the_registry_is_refused(site, built, tmp_path):
    request, record = built
    copy = tmp_path / "tampered.sif"
    shutil.copyfile(Store(request.images.store).image(record["options_digest"]), copy)
    with copy.open("r+b") as stream:
        stream.seek(copy.stat().st_size // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 1]))
    push(site, "tampered", record["options_digest"], copy)
    victim = site.request("victim1", images={"registry": site.registry("tampered", push=False)})
    with pytest.raises(IntegrityError, match="is refused: it was changed"):
        obtain(victim)
    assert Store(victim.images.store).find(record["options_digest"]) is None
    assert not list(victim.images.store.rglob("image.sif"))


def test_image_signed_by_another_key_is_refused(site, built, tmp_path):
    _, public = make_key(tmp_path, "theirs")
    changes = {"registry": site.registry("main", push=False), "keys": {"trusted": [str(public)]}}
    with pytest.raises(IntegrityError, match="no trusted key signed it"):
        obtain(site.request("victim2", images=changes))


def test_signed_image_of_other_options_is_refused(site, built):
    request, record = built
    other = site.request(
        "victim3",
        recipe={"preset": "cta-iact", "version": "78010", "compiler_flags": ["-O3"]},
        images={"registry": site.registry("swapped", push=False)},
    )
    image = Store(request.images.store).image(record["options_digest"])
    push(site, "swapped", request_digest(other), image)
    with pytest.raises(IntegrityError, match="it is the image of other options"):
        obtain(other)


def test_image_from_cvmfs_is_checked_and_taken(site, built, tmp_path):
    request, record = built
    image = Store(request.images.store).image(record["options_digest"])
    (tmp_path / f"{record['options_digest']}.sif").symlink_to(image)
    found = obtain(site.request("cvmfs", images={"cvmfs": str(tmp_path)}))
    assert (found["origin"], found["sha256"]) == ("copy", record["sha256"])


def test_lost_registry_is_told_and_keeps_the_image(site, built):
    request, record = built
    gone = {**site.registry("main"), "address": "127.0.0.1:9/main"}
    store = Store(request.images.store)
    lost = request.model_copy(
        update={"images": request.images.model_validate(
            {**request.images.model_dump(), "registry": gone}
        )}
    )  # fmt: skip
    with pytest.raises(registry.RegistryError, match="does not answer"):
        obtain(lost)
    assert store.find(record["options_digest"]) == record


def test_registry_that_wants_a_login(site, built, tmp_path, monkeypatch):
    require(shutil.which("perl"), "perl is absent")
    import common

    salt = "$2b$05$abcdefghijklmnopqrstuu"
    hashed = subprocess.run(
        ["perl", "-e", f"print crypt('secret', '{salt}')"], capture_output=True, check=True
    ).stdout.decode()
    port = common.free_port()
    (tmp_path / "htpasswd").write_text(f"me:{hashed}\n")
    (tmp_path / "registry.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
        f"auth: {{htpasswd: {{realm: test, path: {tmp_path}/htpasswd}}}}\n"
    )
    server = subprocess.Popen(
        ["docker-registry", "serve", tmp_path / "registry.yml"], stderr=subprocess.DEVNULL
    )
    try:
        common.wait_for(lambda: common.port_answers(port), "registry", 20)
        monkeypatch.setenv("HOME", str(tmp_path))
        address = {"address": f"127.0.0.1:{port}/images", "insecure": True}
        settings = site.request("login", images={"registry": address}).images.registry
        with pytest.raises(registry.RegistryError, match="refuses: HTTP 401"):
            registry.find(settings, "a" * 64)
        login = ["registry", "login", "--username", "me", "--password-stdin"]
        apptainer.call([*login, f"oras://127.0.0.1:{port}"], input="secret")
        assert registry.find(settings, "a" * 64) is None
        request, record = built
        image = Store(request.images.store).image(record["options_digest"])
        apptainer.push(image, f"{settings.address}:upload", True)
        found = registry.publish(settings, "upload", "a" * 64)
        assert found.sha256 == record["sha256"]
    finally:
        server.terminate()
        server.wait()


def test_key_that_others_can_read_is_refused(site, built, tmp_path):
    request, record = built
    private, _ = make_key(tmp_path, "open")
    private.chmod(0o644)
    image = Store(request.images.store).image(record["options_digest"])
    with pytest.raises(BatchError, match="can be read by others"):
        apptainer.sign(image, private)


def test_two_executables_are_no_build(site):
    source = make_archive(site.folder / "two.tar.gz", two_executables="")
    request = site.request("two", source=source)
    with pytest.raises(apptainer.BuildError, match="exactly one executable") as error:
        obtain(request)
    assert "log: " in str(error.value)
    assert not list(request.images.store.rglob("image.sif"))


@pytest.fixture
def open_folder():
    """Folder that the user who builds for root can enter."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_build_folder_that_the_building_user_can_not_enter(site, tmp_path):
    require(os.geteuid() == 0, "only root builds as another user")
    with pytest.raises(BatchError, match=r"can't enter .*images\.build_folder"):
        obtain(site.request("closed", images={"build_folder": str(tmp_path)}))


def test_full_disk_in_the_build_leaves_no_image(site, open_folder):
    small = open_folder / "small"
    small.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=420m,mode=1777", "none", small], check=False
        ).returncode
    )
    require(mounted, "a small file system can be mounted by root only")
    try:
        request = site.request("full", images={"build_folder": str(small)})
        with pytest.raises(BatchError, match=r"disk .*became full"):
            obtain(request)
        assert not list(request.images.store.rglob("image.sif"))
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", "-l", small], check=True)


OBTAIN = """
import json, sys
from ctabatch.concordia.build import obtain
from ctabatch.config.concordia import ConcordiaRequest
print(json.dumps(obtain(ConcordiaRequest.model_validate_json(sys.stdin.read()))))
"""


def start_build(request):
    """Get the image of a request in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", OBTAIN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    process.stdin.write(request.model_dump_json().encode())
    process.stdin.close()
    return process


def test_two_builds_at_once_end_with_one_image(site):
    request = site.request("twins", recipe={"preset": "cta-iact", "version": "78011"})
    twins = [start_build(request) for _ in range(2)]
    first, second = (json.loads(process.stdout.read()) for process in twins)
    assert [process.wait() for process in twins] == [0, 0]
    assert first == second
    assert len(list(request.images.store.glob("*/image.sif"))) == 1


def test_two_sites_at_once_end_with_one_image(site):
    recipe = {"preset": "cta-iact", "version": "78013"}
    images = {"registry": site.registry("twins")}
    requests = [site.request(name, recipe=recipe, images=images) for name in ("east", "west")]
    twins = [start_build(request) for request in requests]
    first, second = (json.loads(process.stdout.read()) for process in twins)
    assert [process.wait() for process in twins] == [0, 0]
    assert first["sha256"] == second["sha256"]
    for request, record in zip(requests, (first, second), strict=True):
        image = Store(request.images.store).image(record["options_digest"])
        assert sha256_of(image) == record["sha256"]


def test_killed_build_leaves_no_image_and_is_made_up_for(site):
    request = site.request("killed", recipe={"preset": "cta-iact", "version": "78012"})
    process = start_build(request)
    part = request.images.store / f".{request_digest(request)}.part" / "build.log"
    end = time.monotonic() + 600
    while not (part.exists() and b"context/build.sh" in part.read_bytes()):
        assert process.poll() is None, "the build ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    store = Store(request.images.store)
    assert store.find(request_digest(request)) is None
    assert make_plan(request)["image"]["action"] == "build"
    record = obtain(request)
    assert record["self_test"] == "passed"
    assert not part.exists()
