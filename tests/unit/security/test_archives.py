"""Archives from elsewhere write below their folder only, and hold files only."""

import io
import tarfile

import pytest
from snakemake_executor_plugin_dirac import sandbox

from ctabatch.analysis.archive import unpacked
from ctabatch.errors import BatchError

MEMBERS = {
    "parent": {"name": "../escaped"},
    "deep parent": {"name": "a/../../escaped"},
    "symbolic link": {"name": "link", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
    "link upwards": {"name": "link", "type": tarfile.SYMTYPE, "linkname": "../escaped"},
    "hard link": {"name": "link", "type": tarfile.LNKTYPE, "linkname": "../escaped"},
    "device": {"name": "null", "type": tarfile.CHRTYPE},
    "block device": {"name": "disk", "type": tarfile.BLKTYPE},
    "pipe": {"name": "pipe", "type": tarfile.FIFOTYPE},
}


def archive(compression="", **attributes):
    """A tar archive with one member."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as tar:
        member = tarfile.TarInfo()
        for key, value in attributes.items():
            setattr(member, key, value)
        tar.addfile(member, io.BytesIO(bytes(member.size)))
    return buffer.getvalue()


def content(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", MEMBERS)
def test_archive_of_an_analysis(tmp_path, name):
    path = tmp_path / "inner/a.tar"
    path.parent.mkdir()
    path.write_bytes(archive(**MEMBERS[name]))
    with pytest.raises(BatchError, match="can't be unpacked"), unpacked(path):
        pass
    assert content(tmp_path) == {"inner", "inner/a.tar"}


@pytest.mark.parametrize("name", MEMBERS)
def test_output_sandbox(tmp_path, name):
    with pytest.raises(tarfile.TarError):
        sandbox._unpack(archive("bz2", **MEMBERS[name]), tmp_path / "inner")
    assert content(tmp_path) == {"inner"}


def test_absolute_names_stay_below(tmp_path):
    sandbox._unpack(archive("bz2", name="/escaped"), tmp_path)
    assert content(tmp_path) == {"escaped"}


def test_output_sandbox_that_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "LARGEST_OUTPUT", 1000)
    with pytest.raises(tarfile.TarError, match="more than 1000 bytes"):
        sandbox._unpack(archive("bz2", name="zeros", size=1001), tmp_path)
    assert content(tmp_path) == set()
    sandbox._unpack(archive("bz2", name="zeros", size=1000), tmp_path)
    assert content(tmp_path) == {"zeros"}
