"""`python -m linkspan.workers`: be the resident of this network namespace, unless there is one."""

import sys

from linkspan.workers.start import RESIDENT

if not RESIDENT.begin():
    sys.exit(0)

from linkspan.workers.master import Master

Master(RESIDENT.socket).run()
