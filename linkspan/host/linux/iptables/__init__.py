"""The contract's Iptables: through libiptc for the legacy variant, else through iptables-restore.

`tables` determines the variant of this host; `legacy` alone imports python-iptables. What a change edits is
computed in `linkspan.netfilter`. Imports `host.contract`, `netfilter` and `host.linux`.
"""
