"""Plans, the local store and records of runs, as far as they need no container."""

import hashlib
import json
import socket
import tarfile

import pytest

from ctabatch.concordia.base import sha256_of
from ctabatch.concordia.lookup import locate, request_digest
from ctabatch.concordia.manifest import collect, ranges
from ctabatch.concordia.plan import Plan, make_plan
from ctabatch.concordia.registry import RegistryError
from ctabatch.concordia.runs import perform
from ctabatch.concordia.store import Store
from ctabatch.errors import BatchError, InputError, IntegrityError
from ctabatch.files import write_json


@pytest.fixture
def archive(tmp_path):
    """Path and SHA-256 of a source archive."""
    path = tmp_path / "source.tar.gz"
    with tarfile.open(path, "w:gz") as stream:
        stream.add(__file__, "corsika/readme")
    return {"archive": str(path), "sha256": sha256_of(path)}


def put_image(request, content=b"image"):
    """Put a file into the store as the image of a request; returns the record."""
    digest = request_digest(request)
    store = Store(request.images.store)
    folder = store.clean(digest)
    (folder / "image.sif").write_bytes(content)
    manifest = {"options_digest": digest, "recipe": request.recipe.identity(), "licence": "-"}
    record = {"options_digest": digest, "manifest": manifest, "signed_by": None, "software": {}}
    return store.put(digest, folder, record)


def write_plan(request, path):
    write_json(path, make_plan(request))
    return Plan.read(path)


def test_plan_of_an_unknown_image_is_to_build_it(corsika, archive, tmp_path):
    content = make_plan(corsika(source=archive))
    assert content["image"]["action"] == "build"
    assert content["image"]["steps"] == ["build", "self test"]
    assert content["image"]["manifest"]["licensed"]
    assert content["showers"] == 30
    assert not (tmp_path / "store").exists(), "a plan changes nothing"


def test_plan_of_a_known_image_is_to_use_it(corsika, tmp_path):
    request = corsika()
    record = put_image(request)
    content = make_plan(request)
    assert content["image"]["action"] == "use"
    assert content["image"]["sha256"] == record["sha256"] == hashlib.sha256(b"image").hexdigest()
    plan = write_plan(request, tmp_path / "plan.json")
    assert plan.recipe == request.recipe
    assert plan.card.model_dump() == request.card.model_dump()


def test_missing_source_is_named(corsika):
    with pytest.raises(InputError, match=r"concordia\.source\.archive: no such file"):
        make_plan(corsika(source__archive="/nowhere/corsika.tar.gz"))


def test_wrong_checksum_of_the_source_is_refused(corsika, archive):
    with pytest.raises(IntegrityError, match="the configuration says 0000"):
        make_plan(corsika(source={**archive, "sha256": "0" * 64}))


def test_image_on_cvmfs_is_found(chasm, tmp_path):
    request = chasm(images__cvmfs=str(tmp_path), images__keys={"trusted": ["key.pub"]})
    (tmp_path / f"{request_digest(request)}.sif").write_bytes(b"12345")
    location = locate(request)
    assert (location.action, location.size) == ("copy", 5)


def test_silent_registry_is_an_error_and_no_reason_to_build(chasm):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        request = chasm(
            images__registry={"address": f"127.0.0.1:{port}/images", "insecure": True},
            images__keys={"trusted": ["key.pub"]},
        )
        with pytest.raises(RegistryError, match=r"does not answer.*leave images\.registry out"):
            make_plan(request)


def test_known_image_needs_no_registry(chasm):
    request = chasm(
        images__registry={"address": "127.0.0.1:9/images", "insecure": True},
        images__keys={"trusted": ["key.pub"]},
    )
    put_image(request)
    assert make_plan(request)["image"]["action"] == "use"


@pytest.mark.parametrize(
    ("changes", "clash"),
    [
        ({}, "runs 1 to 3"),
        ({"first_run": 3, "runs": 9}, "runs 3 to 3"),
        ({"first_run": 4}, None),
        ({"seed_block": 1}, None),
    ],
)
def test_random_seeds_are_not_used_twice(chasm, tmp_path, changes, clash):
    earlier = tmp_path / "earlier.json"
    write_json(earlier, make_plan(chasm()))
    request = chasm(**changes)
    if clash is None:
        make_plan(request, (earlier,))
        return
    with pytest.raises(InputError, match=f"{clash} would repeat the random seeds"):
        make_plan(request, (earlier,))


def test_image_that_vanished_after_the_plan(chasm, tmp_path):
    request = chasm()
    put_image(request)
    plan = write_plan(request, tmp_path / "plan.json")
    Store(plan.store).image(plan.digest).unlink()
    with pytest.raises(BatchError, match=r"is not in .*store .*build"):
        perform(plan, 1, tmp_path / "run")
    assert make_plan(request)["image"]["action"] == "build"
    assert not (tmp_path / "run").exists()


def test_image_that_changed_is_not_run(chasm, tmp_path):
    request = chasm()
    put_image(request)
    plan = write_plan(request, tmp_path / "plan.json")
    Store(plan.store).image(plan.digest).write_bytes(b"other")
    with pytest.raises(IntegrityError, match="expected"):
        perform(plan, 1, tmp_path / "run")


def test_image_that_was_built_anew_is_another_one(chasm, tmp_path):
    request = chasm()
    put_image(request)
    plan = write_plan(request, tmp_path / "plan.json")
    put_image(request, b"built anew")
    with pytest.raises(IntegrityError, match="another than the one that was planned"):
        perform(plan, 1, tmp_path / "run")


def test_run_that_is_not_in_the_plan(chasm, tmp_path):
    plan = write_plan(chasm(), tmp_path / "plan.json")
    with pytest.raises(InputError, match=r"--run: run 4 is not in the plan .*1 to 3"):
        perform(plan, 4, tmp_path / "run")


@pytest.mark.parametrize("content", ["{}", "[]", '{"format": 1}', "{", '{"format": 99}'])
def test_file_that_is_no_plan(tmp_path, content):
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(BatchError, match="plan"):
        Plan.read(path)


def test_changed_plan_is_checked_like_the_configuration(chasm, tmp_path):
    content = make_plan(chasm())
    content["card"]["primary"] = "gamma; id"
    write_json(tmp_path / "plan.json", content)
    with pytest.raises(InputError, match="is no plan"):
        Plan.read(tmp_path / "plan.json")


def fake_run(plan, folder, number, **changes):
    """Write a folder as a run leaves it."""
    folder.mkdir()
    (folder / "data").write_bytes(b"x")
    record = {
        "run": number,
        "seeds": [4 * number, 4 * number + 1],
        "options_digest": plan.digest,
        "request_digest": plan.request_digest,
        "image_sha256": "a" * 64,
        "outputs": [
            {
                "name": "data",
                "bytes": 1,
                "sha256": hashlib.sha256(b"x").hexdigest(),
                "adler32": "00790079",
            }
        ],
    }
    write_json(folder / "run.json", {**record, **changes})
    return folder


def test_manifest_lists_runs_and_what_is_missing(chasm, tmp_path):
    plan = write_plan(chasm(runs=5), tmp_path / "plan.json")
    folders = [fake_run(plan, tmp_path / str(run), run) for run in (4, 2)]
    content, missing = collect(plan, [*folders, tmp_path / "nothing"])
    assert [item["run"] for item in content["records"]] == [2, 4]
    assert missing == [1, 3, 5]
    assert content["bytes"] == 2
    assert json.dumps(content)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"seeds": [5, 9]}, "runs 1 and 2 share the random seed 5"),
        ({"run": 1}, "run 1 is there twice"),
        ({"image_sha256": "b" * 64}, "2 different images"),
        ({"options_digest": "c" * 64}, "made by another image than the planned one"),
        ({"request_digest": "d" * 64}, "made with another card or other seeds"),
        ({"run": 77}, "which is not in the plan"),
    ],
)
def test_manifest_refuses_runs_that_do_not_fit(chasm, tmp_path, second, reason):
    plan = write_plan(chasm(), tmp_path / "plan.json")
    folders = [
        fake_run(plan, tmp_path / "first", 1),
        fake_run(plan, tmp_path / "second", 2, **second),
    ]
    with pytest.raises(IntegrityError, match=reason):
        collect(plan, folders)


def test_manifest_reads_outputs_again(chasm, tmp_path):
    plan = write_plan(chasm(), tmp_path / "plan.json")
    folder = fake_run(plan, tmp_path / "first", 1)
    (folder / "data").write_bytes(b"y")
    with pytest.raises(IntegrityError, match="not what the run wrote"):
        collect(plan, [folder])


def test_ranges():
    assert ranges([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
    assert ranges([]) == ""


@pytest.mark.parametrize(
    ("prefix", "reason"), [("zz", "is not a digest"), ("", "is not"), ("0", "no image")]
)
def test_show_needs_a_digest_of_an_image(chasm, prefix, reason):
    request = chasm()
    put_image(request)
    store = Store(request.images.store)
    digest = request_digest(request)
    assert store.match(digest[:8]) == digest
    prefix = prefix if prefix != "0" else ("0" if digest[0] != "0" else "1")
    with pytest.raises(InputError, match=reason):
        store.match(prefix)


def test_command_line_says_what_will_happen(chasm, tmp_path):
    import yaml
    from click.testing import CliRunner

    from ctabatch.cli.concordia import concordia
    from ctabatch.config.model import Configuration

    assert "concordia" in Configuration.model_fields
    request = chasm()
    config = tmp_path / "config.yaml"
    content = {"concordia": json.loads(request.model_dump_json(exclude_none=True))}
    config.write_text(yaml.safe_dump(content))
    output = tmp_path / "plan.json"
    call = ["plan", "--config", str(config), "-o", str(output)]
    done = CliRunner().invoke(concordia, call, catch_exceptions=False)
    assert done.exit_code == 0
    assert "build; self test" in done.output
    assert "3 (numbers 1 to 3), 6 showers" in done.output
    first = output.read_bytes()
    CliRunner().invoke(concordia, call, catch_exceptions=False)
    assert output.read_bytes() == first, "the same request gives the same plan"
    folders = ["manifest", "--plan", str(output), "-o", str(tmp_path / "manifest.json")]
    with pytest.raises(BatchError, match="3 runs are missing: 1-3"):
        CliRunner().invoke(concordia, folders, catch_exceptions=False)
    assert not (tmp_path / "manifest.json").exists()
