"""The name server: one for each network namespace that has containers with names.

`zone`, `wire` and `resolve` are pure: who has which name, DNS messages, from a query to its answer.
`forward` and `listen` talk to the network, `main` is the process, `client` is how the plugin finds, starts
and asks it. Only this package may import `linkspan.daemon`.
"""
