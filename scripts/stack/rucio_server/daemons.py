"""All of Rucio's daemons that move, judge and delete files, in one process.

Each does one round after the other, so that a rule is done within seconds, not minutes. The
repairer alone keeps its waiting time: what is stuck stays so until someone boosts it.
"""

import logging
import os
import signal
import sys
import threading
from functools import partial

import transfers
from rucio.core.rse import list_rses
from rucio.daemons.abacus import account, collection_replica, rse
from rucio.daemons.common import run_daemon
from rucio.daemons.conveyor import finisher, poller, submitter
from rucio.daemons.judge import cleaner, evaluator, repairer
from rucio.daemons.reaper import reaper
from rucio.daemons.undertaker import undertaker

PAUSE_S = 0.3
REPAIR_AFTER_S = 1800
#: Rounds between two of the slow daemons, which only tidy up.
SLOW = 5

stopped = threading.Event()


def _repair(paused={}):  # noqa: B006 - kept from round to round
    run_daemon(
        once=True,
        graceful_stop=stopped,
        executable=repairer.DAEMON_NAME,
        partition_wait_time=0,
        sleep_time=1,
        run_once_fnc=partial(repairer.run_once, paused_rules=paused, delta=REPAIR_AFTER_S),
    )


def _reap():
    # The reaper leaves a storage element alone for minutes after it found nothing to delete.
    for element in list_rses():
        reaper.REGION.delete(f"pause_deletion_{element['id']}")
    reaper.run(once=True, chunk_size=1000, rses=[], include_rses="*", delay_seconds=0)


FAST = {
    "evaluator": partial(evaluator.re_evaluator, once=True, did_limit=1000),
    "submitter": partial(submitter.submitter, once=True, bulk=1000, partition_wait_time=0),
    "poller": partial(poller.poller, once=True, older_than=0, partition_wait_time=0),
    "finisher": partial(finisher.finisher, once=True, bulk=1000, partition_wait_time=0),
    "repairer": _repair,
    "cleaner": partial(cleaner.rule_cleaner, once=True),
}
TIDY = {
    "undertaker": partial(undertaker.undertaker, once=True, chunk_size=100),
    "reaper": _reap,
    "account": partial(account.account_update, once=True),
    "storage": partial(rse.rse_update, once=True),
    "collections": partial(collection_replica.collection_replica_update, once=True),
}


def main():
    """Go round until the process is told to stop."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    transfers.install(os.environ["STACK_TRANSFERS"], os.environ["STACK_FAULTS"])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    turn = 0
    while not stopped.is_set():
        for name, daemon in {**FAST, **({} if turn % SLOW else TIDY)}.items():
            if stopped.is_set():
                break
            try:
                daemon()
            except Exception:
                logging.exception("round of the %s failed", name)
        turn += 1
        stopped.wait(PAUSE_S)


if __name__ == "__main__":
    main()
