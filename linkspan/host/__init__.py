"""The operating system as plugins see it: a contract, and its implementations on the kernel and in memory.

Only `linux` touches the kernel, files and programs; what acts on a host gets it as an argument and knows the
contract alone. Imports `cni`, `netfilter` and `paths`.
"""
