"""The contract's Iptables: through libiptc where the host's iptables is the legacy variant, else through iptables-restore."""
