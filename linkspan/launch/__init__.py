"""What a runtime executes: launchers in C and Python, their protocol with the workers, installation.

`launcher`, `client` and `protocol` are imported at every call and import nothing but `linkspan.paths`;
`interpreter` starts Python programs that outlive their caller. Nothing here imports `linkspan.workers`: the
resident is started as a program.
"""
