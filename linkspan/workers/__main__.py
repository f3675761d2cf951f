"""`python -m linkspan.workers`: be the resident of this network namespace, in the foreground."""

import sys

from linkspan.workers.start import RESIDENT


def main() -> int:
    """Be the resident; at once 0 if there is one."""
    if not RESIDENT.begin():
        return 0
    from linkspan.workers.master import Master

    Master(RESIDENT.socket).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
