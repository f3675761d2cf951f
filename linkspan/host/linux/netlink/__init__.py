"""What this library asks the kernel over netlink: one client, and the messages of each protocol.

`client` alone opens sockets and reads errors; `rtnl_link` and `rtnl_route` only translate between values and
messages, and `netfilter`, `conntrack` and `sock_diag` send theirs through a client. Imports `host.contract`
and `netfilter`.
"""
