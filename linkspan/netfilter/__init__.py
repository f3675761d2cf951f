"""Packet rules as data, for both backends: what is in which table, and how iptables and nft write it.

Pure: nothing here takes a host or changes one; `linkspan.steps` does. Imports `cni` only.
"""
