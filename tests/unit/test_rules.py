"""What holds for all rules of the workflow."""

import re
from pathlib import Path

RULES = Path(__file__).parents[2] / "workflow/rules"


def rules():
    """File, name, text and whether it is local, of each rule."""
    for path in sorted(RULES.glob("*.smk")):
        text = path.read_text()
        block = re.search(r"^localrules:\n((?:    .*\n)+)", text, re.MULTILINE)
        local = set(re.findall(r"\w+", block[1])) if block else set()
        for part in re.split(r"^(?=rule |checkpoint )", text, flags=re.MULTILINE)[1:]:
            name = re.match(r"\w+ (\w+)", part)[1]
            yield path.name, name, part, name in local


def test_jobs_that_may_run_elsewhere_are_tried_again():
    """A job of the grid is lost for reasons that are not its own; the profiles say how often."""
    found = [(file, name) for file, name, text, local in rules() if not local]
    assert len(found) > 10
    never_again = [
        (file, name) for file, name, text, local in rules() if not local and "retries: 0" in text
    ]
    assert not never_again


def test_each_rule_has_a_log():
    assert not [(file, name) for file, name, text, _ in rules() if "    log:\n" not in text]
