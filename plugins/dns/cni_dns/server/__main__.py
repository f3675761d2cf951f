"""`python -m cni_dns.server`: be the name server of this network namespace, in the foreground."""

import sys

from cni_dns.server.main import main

sys.exit(main())
