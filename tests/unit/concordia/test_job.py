"""Job descriptions, plans for workers without our files, products and their metadata, summaries."""

import base64
import json

import pytest

from ctabatch.cli.main import run as command
from ctabatch.concordia.cards import product_name
from ctabatch.concordia.job import Job, write_job
from ctabatch.concordia.manifest import collect
from ctabatch.concordia.membership import NotAMember, check_login
from ctabatch.concordia.node import cache_folder, image_of
from ctabatch.concordia.plan import Plan, identity_of, make_plan
from ctabatch.concordia.products import ingest_runs, release_name, write_sidecars
from ctabatch.concordia.runs import pack
from ctabatch.concordia.summary import describe_summary, summarise
from ctabatch.config.concordia import MAXIMUM_RUN
from ctabatch.config.model import Configuration
from ctabatch.errors import BatchError, InputError, IntegrityError
from ctabatch.files import read_json, write_json
from ctabatch.lake.open import open_lake

PUBLIC = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n"
IMAGE = {"sha256": "a" * 64, "bytes": 5}


@pytest.fixture
def reachable(chasm, tmp_path):
    """A request whose image workers can fetch."""
    (tmp_path / "key.pub").write_text(PUBLIC)
    (tmp_path / "key.pem").write_text("-")
    return chasm(
        images__registry={"address": "127.0.0.1:9/images", "insecure": True, "push": True},
        images__keys={"trusted": [str(tmp_path / "key.pub")], "sign": str(tmp_path / "key.pem")},
    )


def planned(request, folder):
    content = make_plan(request.model_copy(update={"images": request.images.model_copy(
        update={"registry": None}
    )}))  # fmt: skip
    write_json(folder / "plan.json", content)
    return folder / "plan.json"


def described(request, folder, **record):
    path = planned(request, folder)
    plan = Plan.read(path)
    write_job(
        request, path, {"options_digest": plan.digest, **IMAGE, **record}, folder / "job.json"
    )
    return Job.read(folder / "job.json")


def test_job_holds_all_that_a_worker_needs_and_no_secret(reachable, tmp_path):
    job = described(reachable, tmp_path)
    assert job.plan == Plan.read(tmp_path / "plan.json")
    assert job.sha256 == "a" * 64
    assert job.registry == reachable.images.registry
    assert job.keys == (PUBLIC,)
    assert "key.pem" not in (tmp_path / "job.json").read_text()


def test_private_key_never_travels(reachable, tmp_path):
    (tmp_path / "key.pub").write_text("-----BEGIN PRIVATE KEY-----\nMCow\n")
    with pytest.raises(InputError, match="is no public key"):
        described(reachable, tmp_path)
    assert not (tmp_path / "job.json").exists()


def test_job_of_another_image_than_the_planned_one(reachable, tmp_path):
    with pytest.raises(IntegrityError, match=r"another than the one that was planned.*forcerun"):
        described(reachable, tmp_path, options_digest="b" * 64)


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"format": 1, "plan": {}}', '{"format": 99}', "{"]
)
def test_file_that_is_no_job_description(tmp_path, content):
    (tmp_path / "job.json").write_text(content)
    with pytest.raises(BatchError):
        Job.read(tmp_path / "job.json")


def test_workers_that_can_not_have_the_image_are_told_early(chasm, reachable, tmp_path):
    with pytest.raises(
        InputError, match=r"workers that don't see this machine's files.*push: true"
    ):
        make_plan(chasm(), shared=False)
    request = chasm(images__cvmfs=str(tmp_path), images__keys={"trusted": ["key.pub"]})
    with pytest.raises(InputError, match=r"concordia\.images"):
        make_plan(request, shared=False)
    (tmp_path / f"{make_plan(request)['image']['digest']}.sif").write_bytes(b"x")
    assert make_plan(request, shared=False)["image"]["action"] == "copy"


def test_image_that_is_nowhere(chasm, tmp_path):
    with pytest.raises(BatchError, match=r"no other place.*images\.registry or images\.cvmfs"):
        image_of(described(chasm(), tmp_path))


def test_node_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    (tmp_path / "target").mkdir()
    (tmp_path / "node").symlink_to(tmp_path / "target")
    monkeypatch.setenv("CTABATCH_NODE_CACHE", str(tmp_path / "node"))
    with pytest.raises(BatchError, match="not a folder that only you"):
        cache_folder()


def test_identity_depends_on_showers_and_seeds_not_on_name_or_number(chasm):
    same = {identity_of(chasm()), identity_of(chasm(name="other", runs=9, first_run=5))}
    assert len(same) == 1
    others = {
        identity_of(chasm(seed_block=1)),
        identity_of(chasm(card__energy_max="2 TeV")),
        identity_of(chasm(card__showers_per_run=3)),
    }
    assert len(same | others) == 4
    assert identity_of(chasm(card__energy_max="1000 GeV")) in same


def test_earlier_requests_can_stand_in_the_configuration(chasm, tmp_path):
    write_json(tmp_path / "earlier.json", make_plan(chasm()))
    with pytest.raises(InputError, match="would repeat the random seeds"):
        make_plan(chasm(after=[str(tmp_path / "earlier.json")]))


def made_run(plan, folder, number):
    """Write a run's folder as a run does."""
    from ctabatch.concordia.cards import seeds
    from ctabatch.concordia.runs import _checksums

    out = folder / f"{number:06d}"
    out.mkdir(parents=True)
    product = out / product_name(plan.recipe, number)
    product.write_bytes(bytes([number]) * 100)
    record = {
        "run": number,
        "seed_block": plan.seed_block,
        "seeds": seeds(plan.seed_block, number),
        "options_digest": plan.digest,
        "request_digest": plan.request_digest,
        "image_sha256": "a" * 64,
        "program": "chasm 1.0.0",
        "product": product.name,
        "start": "2026-01-01T00:00:00+00:00",
        "end": "2026-01-01T00:00:02+00:00",
        "seconds": 2.0,
        "host": "node",
        "outputs": [_checksums(product)],
    }
    write_json(out / "run.json", record)


def test_products_go_into_the_lake_once(chasm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request = chasm(runs=2, ingest={"site": "CTAO-North"})
    config = Configuration(concordia=request)
    path = planned(request, tmp_path)
    plan = Plan.read(path)
    for number in (1, 2):
        made_run(plan, tmp_path / "runs", number)
    content, missing = collect(plan, [tmp_path / "runs"])
    assert not missing
    write_json(tmp_path / "manifest.json", content)
    products = write_sidecars(config, path, content)
    sidecars = [read_json(item.with_name(f"{item.name}.meta.json")) for item in products]
    assert write_sidecars(config, path, content) == products
    again = [read_json(item.with_name(f"{item.name}.meta.json")) for item in products]
    assert again == sidecars, "a product keeps its id"
    call = (config, path, tmp_path / "manifest.json", tmp_path / "ingest.json")
    first = ingest_runs(*call)
    assert len(first["registered"]) == 2
    assert release_name(plan) in first["dataset"]
    second = ingest_runs(*call)
    assert (second["registered"], len(second["present"])) == ([], 2)
    found = open_lake(config.lake).search(f"concordia__request_digest = {plan.request_digest}")
    assert sorted(found["concordia__run"]) == [1, 2]
    assert set(found["concordia__image_sha256"]) == {"a" * 64}
    assert set(found["concordia__seeds"]) == {"5 6 7 8", "9 10 11 12"}
    assert "approximate" in found["disclaimer"].iloc[0]


def test_summary_and_report_say_what_was_made(chasm, tmp_path):
    path = planned(chasm(name="a-name", runs=1), tmp_path)
    plan = Plan.read(path)
    made_run(plan, tmp_path / "runs", 1)
    write_json(tmp_path / "manifest.json", collect(plan, [tmp_path / "runs"])[0])
    manifest = {"licence": "MIT <x>", "software": {"python": "3.13"}}
    image = {"origin": "build", "bytes": 5, "signed_by": None, "manifest": manifest}
    write_json(tmp_path / "image.json", image)
    content = summarise(path, tmp_path / "summary.json", tmp_path / "report.html")
    assert (content["runs"], content["showers"], content["bytes"]) == (1, 2, 100)
    assert "1 (numbers 1 to 1), 2 showers" in describe_summary(content)
    page = (tmp_path / "report.html").read_text()
    assert "MIT &lt;x&gt;" in page
    assert plan.request_digest in page
    assert "5 6 7 8" in page


def test_packed_run_keeps_its_name(tmp_path):
    import tarfile

    (tmp_path / "000007").mkdir()
    (tmp_path / "000007" / "data").write_text("x")
    pack(tmp_path / "000007", tmp_path / "work" / "000007.tar")
    with tarfile.open(tmp_path / "work" / "000007.tar") as archive:
        assert sorted(archive.getnames()) == ["000007", "000007/data"]


def failed(capsys, *arguments):
    """Run cta-batch; returns exit code and message."""
    with pytest.raises(SystemExit) as end:
        command(list(arguments))
    return end.value.code, capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": 1_000_000}, f"at most {MAXIMUM_RUN} runs fit"),
        ({"runs": "many"}, "concordia.runs"),
        ({"recipe": {"code": "chasm", "options": ["IACT;id"]}}, "concordia.recipe"),
        ({"recipe": {"preset": "cta-iact", "version": "78010", "low_energy": "FLUKA"}}, "FLUKA"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(chasm, tmp_path, capsys, changes, message):
    import yaml

    content = json.loads(chasm().model_dump_json(exclude_none=True)) | changes
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"concordia": content}))
    code, text = failed(capsys, "concordia", "plan", str(path))
    assert code == 2
    assert message in text
    assert len(text.splitlines()) == 1


def test_configuration_without_a_request(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("results: results\n")
    code, text = failed(capsys, "concordia", "plan", str(tmp_path / "config.yaml"))
    assert (code, "concordia: is missing" in text) == (2, True)


def token(**claims):
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.x"


@pytest.mark.parametrize(
    ("bearer", "reason"),
    [
        (None, "nobody is logged in"),
        (token(**{"wlcg.groups": ["/escape"]}), "has /escape"),
        (token(**{"wlcg.groups": ["/escape/cta"]}, exp=1), "expired"),
        ("nonsense", "can't be read"),
        (token(**{"wlcg.groups": ["/escape/cta"]}), None),
    ],
)
def test_who_may_submit_is_known_before_the_plan(chasm, tmp_path, monkeypatch, bearer, reason):
    monkeypatch.delenv("BEARER_TOKEN_FILE", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("BEARER_TOKEN", bearer or "")
    request = chasm(membership={"all_of": ["/escape"], "any_of": ["/escape/cta"]})
    config = Configuration(concordia=request)
    check_login(config, "local")
    if reason is None:
        check_login(config, "dirac")
        return
    with pytest.raises(NotAMember, match=reason) as error:
        check_login(config, "dirac")
    assert bearer is None or bearer not in str(error.value)
