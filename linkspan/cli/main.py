"""`linkspan`: the command. The overview is printed without importing a verb, or click."""

from __future__ import annotations

import sys

from linkspan.cli.verbs import VERSION, overview


def main() -> None:
    """Run the verb that the command line names, and exit."""
    arguments = sys.argv[1:]
    if arguments in ([], ["-h"], ["--help"]):
        sys.stdout.write(f"{overview()}\n")
    elif arguments == ["--version"]:
        sys.stdout.write(f"{VERSION}\n")
    else:
        from linkspan.cli.group import group

        group.main(arguments, prog_name="linkspan")


if __name__ == "__main__":
    main()
