"""The HTML report: complete, self-contained, escaped, readable when parts are missing."""

import copy
import html
import re
from html.parser import HTMLParser

import pytest

from ctabatch.irf.plots import make_plots
from ctabatch.irf.report import flatten, write_report
from ctabatch.irf.validation import validate
from ctabatch.simulation import DISCLAIMER
from synthetic_irf import REQUEST, THROWN, make_irf

PRODUCT = "Open1-CTAO-North-20deg-SouthAz-4LSTs09MSTs-dark-180000s-v0.1"


class Page(HTMLParser):
    """Text, tags and references to other resources; fails on unbalanced tags."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.references, self.text = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [v for k, v in attrs if k in ("src", "href") and v]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    irf = make_irf()
    path, benchmarks = irf.write(folder, f"{PRODUCT}.fits.gz")
    make_plots({"nominal": path}, folder / "plots", benchmarks={"nominal": benchmarks})
    return folder


@pytest.fixture(scope="module")
def validation(folder):
    irf = copy.deepcopy(make_irf())
    irf.edisp[5, :, 1] *= 1.3
    report = {}
    for variant, source in (("nominal", make_irf()), ("throughput", irf)):
        path, benchmarks = source.write(folder, f"{variant}.fits.gz")
        report[variant] = validate(path, request=REQUEST, benchmarks=benchmarks, thrown=THROWN)
    return {
        "passed": False,
        "disclaimer": DISCLAIMER,
        "variants": {name: item.to_dict() for name, item in report.items()},
    }


@pytest.fixture
def plan():
    return {
        "name": "demo",
        "digest": "0123456789abcdef" * 4,
        "action": "simulate",
        "existing": {},
        "not_used": [{"did": "ctao:/old", "status": "invalid", "variant": "nominal"}],
        "products": {"nominal": PRODUCT, "throughput": PRODUCT + "-throughput"},
        "simulator": "openiact",
        "disclaimer": DISCLAIMER,
        "software": {"ctabatch": "0.1.0", "ctapipe": "0.32.0"},
        "conditions": {"site": "CTAO-North", "atmosphere": "winter", "telescopes": [1, 2, 3]},
        "request": REQUEST.model_dump(mode="json"),
        "canonical": {"format": 1},
        "statistics": {
            "efficiency_from": "pilot CTAO-North",
            "wanted_uncertainty": 0.1,
            "expected_uncertainty": {"nominal": 0.0734},
            "needs": {
                "nominal": {"gamma": {"showers": 1_234_567, "reason": "effective area to 10.0%"}}
            },
            "method": "binomial",
        },
        "production": {"nominal": {"gamma": {"irf": {"runs": 31, "showers_per_run": 40_000}}}},
        "cost": {"cpu_hours": 1.5, "jobs": 40, "showers": 1_240_000, "storage_bytes": 1e9},
    }


def render(folder, plan, validation, **options):
    return write_report(folder, plan, validation, **options).read_text(encoding="utf-8")


def test_report_holds_what_a_person_needs(folder, plan, validation):
    measured = {"process": [{"cpu_s": 1800.0, "memory_mb": 700.0}] * 2}
    text = render(folder, plan, validation, measured=measured, locations={"nominal": "ctao:/lfn"})
    page = Page(text)
    words = " ".join(" ".join(page.text).split())
    assert DISCLAIMER in words
    assert "Failed: not ingested" in words
    for heading in (
        "Validation",
        "Plots",
        "Product",
        "Request",
        "Statistics",
        "Cost",
        "Provenance",
    ):
        assert heading in words
    assert "energy 0.5 to 0.792 TeV, offset 1 to 2 deg (value 1.3)" in words
    assert "pointing.zenith 20 deg" in words
    assert "1 240 000" in words
    assert "7.34 %" in words
    assert "Measured up to here: 1 CPU hours in 2 jobs" in words
    assert plan["digest"] in words
    assert validation["variants"]["nominal"]["sha256"] in words
    assert f'load_irf_dict_from_file("{PRODUCT}.fits.gz")' in words
    assert "ctao:/lfn" in words
    assert "ctao:/old" in words
    assert page.tags.count("img") == 5


def test_failures_come_first(folder, plan, validation):
    text = render(folder, plan, validation)
    rows = re.findall(r'<tr class="(\w+)"><td class="name"><code>(\w+)', text)
    second = rows[len(rows) // 2 :]
    assert second[0] == ("failed", "normalisation_energy_dispersion")
    assert second[1] == ("skipped", "reference")
    assert {status for status, _ in second[2:]} == {"passed"}


def test_nothing_is_loaded_from_elsewhere(folder, plan, validation):
    page = Page(render(folder, plan, validation))
    assert all(item.startswith(("data:image/png;base64,", "#")) for item in page.references)
    assert "script" not in page.tags
    assert "link" not in page.tags


def test_everything_is_escaped(folder, plan, validation):
    evil = '<script>alert(1)</script>"&'
    plan["name"] = plan["disclaimer"] = evil
    plan["request"] = {evil: evil}
    plan["products"] = {evil: evil}
    plan["canonical"] = {evil: evil}
    plan["software"] = {evil: evil}
    check = {"name": evil, "status": "failed", "message": evil, "details": {}}
    variants = {evil: {"product": evil, "passed": False, "checks": [check]}}
    text = render(folder, plan, {"passed": False, "variants": variants})
    assert "<script" not in text
    assert html.escape("<script>alert(1)</script>") in text
    Page(text)


def test_missing_sections_are_left_out(tmp_path):
    text = render(tmp_path, {}, {})
    page = Page(text)
    assert "img" not in page.tags
    assert "Validation" not in " ".join(page.text)
    assert tmp_path.name in text


def test_fetched_product(tmp_path, plan):
    fetched = {key: plan[key] for key in ("name", "digest", "products", "request")}
    fetched |= {"action": "fetch", "existing": {"nominal": "ctao:/lfn"}}
    text = render(tmp_path, fetched, {})
    assert "nothing was simulated" in text
    assert "ctao:/lfn" in text


def test_sidecars_are_shown(tmp_path, plan):
    path = tmp_path / f"{PRODUCT}.fits.gz.meta.json"
    path.write_text('{"product": {"instance": {"id": "some-uuid"}}}')
    text = render(tmp_path, plan, {})
    assert "product.instance.id" in text
    assert "some-uuid" in text


def test_flatten():
    content = {"a": {"b": 1.23456789, "c": None}, "d": [1, 2], "e": True, "f": [{"x": 1}]}
    assert flatten(content) == [("a.b", "1.23457"), ("d", "1; 2"), ("e", "yes"), ("f", "x 1")]
