"""``dirac-agent WorkloadManagement/JobAgent``, which asks for jobs each second.

DIRAC's own waits 2, 4, 6... polling times after each fruitless request, and polls each 10 s at
most: right for thousands of pilots, slow for two.
"""

import sys
import time
import types

from DIRAC.Core.Base import AgentReactor
from DIRAC.Core.scripts.dirac_agent import main
from DIRAC.WorkloadManagementSystem.Agent import JobAgent

_Scheduler = AgentReactor.ThreadScheduler.ThreadScheduler


def _scheduler(enableReactorThread=True, minPeriod=1):  # noqa: N803 - DIRAC's names
    return _Scheduler(enableReactorThread, min(minPeriod, 1))


AgentReactor.ThreadScheduler = types.SimpleNamespace(ThreadScheduler=_scheduler)
JobAgent.time = types.SimpleNamespace(
    time=time.time, sleep=lambda seconds: time.sleep(min(seconds, 1))
)
sys.argv[0] = "dirac-agent"
sys.exit(main())
