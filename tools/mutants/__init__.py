"""Mutation testing: `make mutants` plants faults in core, dialects and store, one at a time.

`draw` makes the mutants with the operators of Cosmic Ray, in an environment of its own, because the
packages of that tool are not those of the tests. `lines` finds the tests that run each line, and
`run` runs them for each mutant. `equivalent.toml` has the mutants that no test can kill.
"""
