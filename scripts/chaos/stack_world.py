"""A campaign on parts of the test stack: their servers die, too."""

import os
import signal
import subprocess
import sys
import time

from worlds import REPOSITORY, LocalWorld, WorldError

STACK = REPOSITORY / "scripts/stack"
sys.path.insert(0, str(STACK))

import common  # noqa: E402

#: Longest wait for servers to end what nobody wants any more, seconds.
PATIENCE = 120


class StackWorld(LocalWorld):
    """Servers of the campaign's own, started before and stopped after it.

    ``parts`` are the parts of the stack, and ``servers`` those that are killed: part, name of its
    process, and what people call it. Those in ``stopped`` may save what they know: SIGTERM.
    """

    kinds = (*LocalWorld.kinds, "server", "server", "server")
    parts: tuple[str, ...] = ()
    servers: tuple[tuple[str, str, str], ...] = ()
    stopped: tuple[str, ...] = ()

    def __enter__(self):
        self.instance = f"chaos-{os.getpid()}"
        self.states = {part: common.State(part, self.instance) for part in self.parts}
        self.stack("up")
        try:
            self.environment |= self.variables()
            return super().__enter__()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *exception):
        self.stack("down", "--purge")

    def variables(self):
        """Environment variables by which commands find the servers."""
        return {}

    def stack(self, action, *options):
        """Call the command of the test stacks."""
        command = [sys.executable, STACK / "stack.py", action, *self.parts]
        done = subprocess.run(
            [*command, "--instance", self.instance, *options],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise WorldError(f"the stack {', '.join(self.parts)}: {done.stderr.strip()}")

    def kill_server(self, generator):
        """Kill a server of the stack, and start it again after some seconds."""
        (part, name, called), pause = generator.choice(self.servers), generator.uniform(0.5, 5)
        if number := self.states[part].pid(name):
            how = signal.SIGTERM if name in self.stopped else signal.SIGKILL
            os.killpg(number, how)
        time.sleep(pause)
        self.stack("up")
        return f"{called} (for {pause:.1f} s)"


def wait_for_none(look):
    """Ask for what should vanish, until nothing is left or patience is; returns what is left."""
    end = time.monotonic() + PATIENCE
    while (left := look()) and time.monotonic() < end:
        time.sleep(1)
    return left
