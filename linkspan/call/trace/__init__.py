"""A call written down and made again: what it was asked, what it asked of the host, what it was answered.

`codec` turns the host contract's values into JSON and back, `mask` hides what no plugin of ours reads,
`record` writes a call's file, `replay` makes the call again from it. Imports `cni`, `netfilter` and
`host.contract` only.
"""
