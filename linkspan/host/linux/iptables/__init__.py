"""The contract's Iptables: through libiptc for the legacy variant, else through iptables-restore."""
