#!/usr/bin/env python3
"""Start and stop real local services, as a data centre would run them.

    stack.py install [PART ...]     Debian packages and server environments
    stack.py up      [PART ...]     start; does nothing where it runs already
    stack.py down    [PART ...]     stop; --purge deletes its data too
    stack.py status  [PART ...]     what runs, and where its connection details are
    stack.py list                   the parts there are

Without PART all parts. A part is a file ``<part>_part.py`` beside this one with the functions
``install()``, ``up(state)``, ``down(state)`` and, where it differs from "env.json exists",
``running(state)``; `state` is a `common.State`. Each instance (``--instance NAME``) has a state
folder of its own with ``env.json`` and ``env.sh``, logs and data.
"""

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from common import StackError, State, stack_dir  # noqa: E402


def parts() -> list[str]:
    """Return the names of all parts."""
    return sorted(path.name.removesuffix("_part.py") for path in HERE.glob("*_part.py"))


def load(part: str):
    """Import the module of a part."""
    return importlib.import_module(f"{part}_part")


def _up(part: str, state: State) -> str:
    begin = time.monotonic()
    with state.locked():
        state.make()
        load(part).up(state)
    return f"up in {time.monotonic() - begin:.1f} s: {state.folder}/env.sh"


def _down(part: str, state: State, purge: bool) -> str:
    with state.locked():
        load(part).down(state)
        (state.folder / "env.json").unlink(missing_ok=True)
        (state.folder / "env.sh").unlink(missing_ok=True)
        if purge:
            state.purge()
    return "down, data deleted" if purge else "down"


def _status(state: State) -> str:
    running = [f"{name} {pid or 'DEAD'}" for name, pid in state.processes().items()]
    return f"{', '.join(running) or 'down'}  ({state.folder})"


def main(argv=None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["install", "up", "down", "status", "list"])
    parser.add_argument("part", nargs="*", help="parts; all by default")
    parser.add_argument("--instance", help="name of a further instance beside the default one")
    parser.add_argument("--purge", action="store_true", help="with down: delete the data too")
    options = parser.parse_args(argv)
    known = parts()
    if options.action == "list":
        print("\n".join(known))
        return 0
    for part in options.part:
        if part not in known:
            parser.error(f"no part {part!r}; there are: {', '.join(known)}")
    failed = False
    for part in options.part or known:
        state = State(part, options.instance)
        try:
            if options.action == "install":
                stack_dir().mkdir(parents=True, exist_ok=True)
                load(part).install()
                message = "installed"
            elif options.action == "up":
                message = _up(part, state)
            elif options.action == "down":
                message = _down(part, state, options.purge)
            else:
                message = _status(state)
            print(f"{state.name}: {message}", flush=True)
        except StackError as error:
            failed = True
            print(f"{state.name}: error: {error}", file=sys.stderr, flush=True)
    return int(failed)


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
