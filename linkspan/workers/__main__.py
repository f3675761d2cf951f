"""`python -m linkspan.workers`: be the resident of this network namespace, unless there is one."""

import sys

from linkspan.daemon.services import RESIDENT
from linkspan.launch.interpreter import WITHOUT_WORKERS

if not RESIDENT.begin():
    sys.exit(0)

from linkspan.workers.master import Master

Master(RESIDENT.socket, has_workers=WITHOUT_WORKERS not in sys.argv).run()
