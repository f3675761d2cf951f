"""`python -m linkspan.resident`: be the resident of this network namespace, in the foreground."""

import sys

from linkspan.workers.master import main

sys.exit(main())
