"""Recipes: what can be built, and how it is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ctabatch.concordia.definition import config_h, definition, options_digest, payload
from ctabatch.concordia.recipe import Recipe

IACT = {"preset": "cta-iact", "version": "78010"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"options": ["IACT"]}, "option IACT needs option CERENKOV"),
        ({"options": ["CERENKOV", "IACTEXT"]}, "option IACTEXT needs option IACT"),
        ({"options": ["CEFFIC"]}, "option CEFFIC needs option CERENKOV"),
        ({"options": ["CHARM"]}, "needs a model that makes charmed particles"),
        ({"options": ["VOLUMEDET"]}, "VOLUMEDET is a geometry"),
        ({"low_energy": "FLUKA"}, "forbid redistribution"),
        ({"version": "77500"}, "QGSJETIII is in CORSIKA since 78000"),
        ({"version": "7.8"}, "must be five digits"),
        ({"version": None}, "corsika7 needs version"),
        ({"geometry": None}, "corsika7 needs geometry"),
        ({"base": "docker://debian:trixie"}, "a tag can change"),
        ({"code": "chasm", "version": None}, "high_energy is a setting of corsika7"),
    ],
)
def test_forbidden_combination_is_refused_with_the_reason(change, reason):
    with pytest.raises(ValidationError, match=reason):
        Recipe(**{**IACT, **change})


def test_version_that_is_not_locked_is_refused():
    with pytest.raises(ValidationError, match=r"is not locked here, only 1\.0\.0"):
        Recipe(code="chasm", version="2.0.0")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("options", ["IACT; rm -rf /"]),
        ("options", ["$(id)"]),
        ("compiler_flags", ["-O2; reboot"]),
        ("compiler_flags", ["-O2 -fplugin=x"]),
        ("compiler_flags", ["-O2\n"]),
        ("compiler_flags", ["-Wl,-rpath,`id`"]),
        ("compiler_flags", ["-B/tmp"]),
        ("version", "78010'"),
        ("version", "78010\n"),
        ("high_energy", "SIBYLL\n%post\nid"),
        ("base", "bootstrap:trixie\n%post\n id"),
        ("base", "docker://a b@sha256:" + "0" * 64),
        ("base", "file:/x;id@sha256:" + "0" * 64),
        ("debian_release", "13.7$(id)"),
    ],
)
def test_shell_characters_are_refused(field, value):
    with pytest.raises(ValidationError, match=field):
        Recipe(**{**IACT, field: value})


@given(st.text(max_size=30))
def test_no_text_gets_into_the_build_as_an_option(text):
    for field, value in (("options", [text]), ("compiler_flags", [text]), ("version", text)):
        try:
            recipe = Recipe(**{**IACT, field: value})
        except ValidationError:
            continue
        everything = config_h(recipe) + payload(recipe)["flags"]
        assert not set(everything) & set("`$;|&<>(){}'\\")


def test_preset_is_a_start_and_no_part_of_the_identity():
    preset = Recipe(**IACT)
    spelled = Recipe(
        code="corsika7",
        version="78010",
        high_energy="QGSJETIII",
        low_energy="URQMD",
        geometry="VOLUMEDET",
        options=["VIEWCONE", "ATMEXT", "IACTEXT", "IACT", "CERENKOV", "IACT"],
    )
    assert options_digest(preset, "a" * 64) == options_digest(spelled, "a" * 64)
    assert Recipe(**IACT, low_energy="GHEISHA").low_energy == "GHEISHA"


def test_digest_depends_on_all_that_changes_the_image():
    variants = [
        (Recipe(**IACT), "a" * 64),
        (Recipe(**IACT), "b" * 64),
        (Recipe(**IACT, compiler_flags=["-O3"]), "a" * 64),
        (Recipe(**IACT, compiler_flags=["-O3", "-g"]), "a" * 64),
        (Recipe(**IACT, high_energy="EPOS"), "a" * 64),
        (Recipe(**IACT, debian_release="13.7"), "a" * 64),
        (Recipe(**IACT, base=f"file:/x.sif@sha256:{'0' * 64}"), "a" * 64),
        (Recipe(code="chasm"), None),
        (Recipe(code="openiact"), None),
    ]
    assert len({options_digest(*item) for item in variants}) == len(variants)


def test_place_of_the_base_is_no_part_of_the_identity():
    first, second = (
        options_digest(Recipe(**IACT, base=f"file:{path}@sha256:{'0' * 64}"), "a" * 64)
        for path in ("/x.sif", "/y.sif")
    )
    assert first == second


def test_km3net_preset():
    recipe = Recipe(preset="km3net-muon", version="77550")
    text = config_h(recipe)
    assert "#define __SIBYLL__ 1" in text
    assert "#define __CACHE_CURVED__ /**/" in text
    assert "#define __CACHE_HORIZONTAL__ /**/" in text
    assert "IACT" not in text


def test_config_h_uses_the_names_of_the_sources():
    text = config_h(Recipe(preset="cta-iact", version="77550", high_energy="QGSJETII"))
    assert "#define __CACHE_QGSJETII__ /**/" in text
    assert "#define __QGSII__ 1" in text
    assert "#define __QGSJET__ 1" in text
    assert '#define PACKAGE_VERSION "77550"' in text


def test_definition_holds_nothing_that_a_person_typed():
    text = definition("corsika7", "78010", 2, "f" * 64)
    assert text.count("Bootstrap: localimage") == 2
    assert "/opt/concordia /opt/concordia" in text
    assert "source" not in text, "the licensed source stays in the stage that compiles"
