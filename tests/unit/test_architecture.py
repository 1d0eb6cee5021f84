"""The picture in docs/architecture.md is that of the code."""

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "src/ctabatch"
PAGE = (REPOSITORY / "docs/architecture.md").read_text()
PICTURE = re.search(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)[1]
BOXES = dict(re.findall(r'^        (\w+)\["([^"<]+)', PICTURE, re.MULTILINE))
#: Boxes of each layer, from the top.
LAYERS = [
    re.findall(r"^        (\w+)\[", block, re.MULTILINE)
    for block in re.findall(r"^    subgraph .*?\n(.*?)^    end", PICTURE, re.DOTALL | re.MULTILINE)
]
UPWARD = set(re.findall(r"(\w+) -\..*?\.-> (\w+)", PICTURE))


def rooms():
    """Packages and modules of the source."""
    found = [path.parent for path in SOURCE.glob("*/__init__.py")]
    found += [path for path in SOURCE.glob("*.py") if path.name != "__init__.py"]
    return {path.stem: path for path in found}


def imports(path):
    """Rooms that a file takes something from, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ctabatch."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (
                name.name.split(".")[1] for name in node.names if name.name.startswith("ctabatch.")
            )


def test_boxes_exist():
    assert len(BOXES) > 20
    missing = [
        label
        for label in BOXES.values()
        if not (SOURCE / label).exists() and not (REPOSITORY / label).exists()
    ]
    assert not missing


def test_each_room_has_a_box_and_a_line():
    assert set(rooms()) <= set(BOXES)
    missing = [path.name for path in rooms().values() if not re.search(rf"`{path.name}/?`", PAGE)]
    assert not missing


def test_imports_go_down():
    layer = {name: number for number, names in enumerate(LAYERS) for name in names}
    upward = set()
    for name, path in rooms().items():
        for file in [path] if path.is_file() else path.rglob("*.py"):
            upward |= {(name, to) for to in imports(file) if layer[to] < layer[name]}
    assert upward == UPWARD


def test_rules_and_modules_named_in_the_text_exist():
    for name in re.findall(r"`((?:irf|reprocessing|analysis|concordia)/[a-z_]+\.py)`", PAGE):
        assert (SOURCE / name).is_file(), name
    rules = "".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    for name in re.findall(r"`((?:irf|reprocessing|analysis|concordia)_(?!_)[a-z_]+)`", PAGE):
        assert re.search(rf"^(rule|checkpoint) {name}:", rules, re.MULTILINE), name
