"""Packet rules as data, for both back ends, and the text forms of iptables and nft."""
