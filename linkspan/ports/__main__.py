"""`python -m linkspan.ports`: be the ports process of this network namespace, in the foreground."""

import sys

from linkspan.ports.main import main

sys.exit(main())
