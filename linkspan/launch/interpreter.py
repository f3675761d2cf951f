"""Python programs of this installation: what they can import, and starting one that outlives its caller.

The interpreter is started with -I (the caller's PYTHON* variables are not ours) and -S (site-packages take
10 ms).
"""

import posix
import sys

from linkspan import paths

#: Runs the file that the first argument names; what it imports is found where the second says.
_BOOT = (
    "import sys; sys.path[:] = sys.argv[2].split(':'); "
    "exec(open(sys.argv[1]).read(), {'__name__': '__main__'})"
)
#: Tells a long-lived process to leave its caller's control group and mount namespace.
DETACH = "--detach"
#: Tells the resident to have no workers until a call asks for one.
WITHOUT_WORKERS = "--without-workers"
_ENVIRONMENT = {"PATH": "/bin:/usr/bin:/usr/sbin:/sbin", "LC_ALL": "C"}


def enable_site_packages() -> None:
    """Make third-party packages importable, and in a checkout the plugins' packages, after a start
    with -S.
    """
    import os
    import site

    if sys.flags.no_site:
        site.main()
    library = paths.library_dir()
    plugins = f"{library}/plugins"
    folders = [f"{plugins}/{each}" for each in sorted(os.listdir(plugins))] if os.path.isdir(plugins) else []
    sys.path += [each for each in (library, *folders) if each not in sys.path]


def program_argv(program: str, *arguments: str) -> list[str]:
    """The command that runs a Python file of ours, whatever environment and folder it starts in.

    It can import what this process can.
    """
    import os

    found_in = ":".join([os.path.abspath(each) for each in sys.path if each])
    return [sys.executable, "-I", "-S", "-c", _BOOT, program, found_in, *arguments]


def start(program: str, log: str, *arguments: str) -> None:
    """Run a Python file of ours in a session of its own and do not wait for it.

    It is told to `--detach`, and these arguments. Nothing of ours stays open in it; what it prints goes to
    the file `log` if that can be opened. Raises OSError if no process can be created.
    """
    argv = program_argv(program, DETACH, *arguments)
    child = posix.fork()
    if child:
        posix.waitpid(child, 0)
        return
    try:
        posix.setsid()
        # This process ends at once, so that init or a subreaper becomes the parent and collects the exit
        # status.
        if posix.fork() == 0:
            _leave_streams(log)
            posix.execve(argv[0], argv, _ENVIRONMENT)
    finally:
        posix._exit(0)  # noqa: SLF001


def _leave_streams(log: str) -> None:
    """Close every descriptor of the caller, and open 0 to 2 anew."""
    null = posix.open("/dev/null", posix.O_RDWR)
    try:
        output = posix.open(log, posix.O_CREAT | posix.O_WRONLY | posix.O_APPEND | posix.O_NOFOLLOW, 0o600)
    except OSError:
        output = null
    for stream, source in ((0, null), (1, output), (2, output)):
        posix.dup2(source, stream)
    for name in posix.listdir("/proc/self/fd"):
        if int(name) > 2:
            posix.closerange(int(name), int(name) + 1)
