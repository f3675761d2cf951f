"""The iptables back end: through libiptc where the tables are the legacy ones, else through iptables-restore."""
