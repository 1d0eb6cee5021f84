"""``dirac-agent WorkloadManagement/JobAgent``, which asks for jobs each second.

DIRAC's own waits 2, 4, 6... polling times after each fruitless request, and polls each 10 s at
most: right for thousands of pilots, slow for two. Its InProcess computing element says until the
first job has run that it has one processor and no memory, so that a job with MinRAM is never
matched (9.1.22): mended here.
"""

import sys
import time
import types

from DIRAC.Core.Base import AgentReactor
from DIRAC.Core.scripts.dirac_agent import main
from DIRAC.Resources.Computing.InProcessComputingElement import InProcessComputingElement
from DIRAC.WorkloadManagementSystem.Agent import JobAgent

_Scheduler = AgentReactor.ThreadScheduler.ThreadScheduler


def _scheduler(enableReactorThread=True, minPeriod=1):  # noqa: N803 - DIRAC's names
    return _Scheduler(enableReactorThread, min(minPeriod, 1))


def _take_parameters(self):
    self.processors = int(self.ceParameters.get("NumberOfProcessors", 1))
    self.maxRAM = int(self.ceParameters.get("MaxRAM", 0))
    return {"OK": True, "Value": None}


InProcessComputingElement._reset = _take_parameters
AgentReactor.ThreadScheduler = types.SimpleNamespace(ThreadScheduler=_scheduler)
JobAgent.time = types.SimpleNamespace(
    time=time.time, sleep=lambda seconds: time.sleep(min(seconds, 1))
)
sys.argv[0] = "dirac-agent"
sys.exit(main())
