"""Nothing that the server's parser chokes on leaves the client, whatever a workflow is called."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_dirac import sources
from snakemake_executor_plugin_dirac.jdl import (
    NAME_LENGTH,
    Needs,
    UnsafeWordError,
    description,
    safe_name,
    word,
)

PFN = "SB:SandboxSE|/S3/sandboxes/dteam/dteam_user/alice/sha256:" + "a" * 64 + ".tar.zst"
ANY = st.text(max_size=200) | st.text("[];\"'%{}=\\,\n$j n", max_size=60)
SITES = st.lists(st.from_regex(r"[A-Z]{3}\.[A-Za-z]{1,10}\.[a-z]{2}", fullmatch=True), max_size=4)


def parse(text):
    """Read a JDL as DiracX does: end at `;`, split at the first `=`."""
    fields = {}
    for part in text.split(";"):
        if part.strip():
            key, _, value = part.partition("=")
            fields[key.strip()] = value.strip()
    return fields


@given(name=ANY, sites=SITES, number=st.integers(0, 10**9), needs=st.integers(1, 10**9))
def test_description_is_safe(name, sites, number, needs):
    title = f"{safe_name(name)}.{'0' * 16}.{'f' * 16}"
    wanted = Needs(needs, needs, needs, needs, tuple(sites), tuple(sites), ("GPU",))
    text = description(title, "smk-0123456789abcdef", wanted, PFN, [number])
    assert set(text) <= set(string.ascii_letters + string.digits + ' ._+/:|@-={}",;\n')
    assert not re.search(r"[\[\]%\\]", text)
    fields = parse(text)
    assert fields["JobName"] == f'"{title}"'
    assert fields["Arguments"] == f'"{number}"'
    assert fields["InputSandbox"] == f'{{"{PFN}"}}'
    assert len(title) <= NAME_LENGTH


@given(text=ANY)
def test_word_refuses_everything_else(text):
    if re.fullmatch(r"[A-Za-z0-9._+/:|@-]+", text):
        assert word(text) == text
    else:
        with pytest.raises(UnsafeWordError):
            word(text)


@given(name=ANY)
def test_server_parser_agrees(name):
    classad = pytest.importorskip("DIRACCommon.Core.Utilities.ClassAd.ClassAdLight")
    text = description(safe_name(name) + ".a.b", "smk-0", Needs(2), PFN, [7])
    jdl = classad.ClassAd(f"[{text}]")
    assert jdl.getAttributeString("JobName") == safe_name(name) + ".a.b"
    assert jdl.getListFromExpression("InputSandbox") == [PFN]
    assert jdl.getAttributeInt("NumberOfProcessors") == 2


@given(wildcards=st.lists(ANY.filter(lambda t: "\0" not in t), max_size=4))
def test_any_argument_reaches_the_shell_as_it_is(wildcards):
    """Arguments travel as plain words in the table and come out of it unchanged."""
    import base64
    import gzip
    import shlex

    text = gzip.decompress(sources.job_table([(10, wildcards)])).decode()
    number, disk, encoded = (text.rstrip("\n") + " ").split(" ")[:3]
    assert (number, disk) == ("0", "10")
    assert re.fullmatch(r"[A-Za-z0-9+/=]*", encoded)
    assert shlex.split(base64.b64decode(encoded).decode()) == wildcards
