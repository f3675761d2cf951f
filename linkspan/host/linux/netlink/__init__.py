"""One netlink client for route, netfilter, conntrack and sock_diag requests, and the messages of each."""
