"""``dirac-service``, whose periodic tasks may run oftener than once a minute.

Without that the optimisers pick up new jobs each minute only (``LoadJobPeriod``).
"""

import sys

from DIRAC.Core.scripts.dirac_service import main
from DIRAC.Core.Utilities.ThreadScheduler import gThreadScheduler

gThreadScheduler.setMinValidPeriod(1)
sys.argv[0] = "dirac-service"
sys.exit(main())
