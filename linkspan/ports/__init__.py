"""The ports process: it relays what local programs send to published ports of 127.0.0.1 and ::1, and holds
ports for containers. There is one for each network namespace of the host that needs it.

`table` has the values, `tcp`, `connection` and `udp` relay, `held` holds, `main` is the process, `client` is
how others start and ask it. It may import everything but the plugins, the workers and the command.
"""
