"""The tests of linkspan; a package so that `tests.harness` can never be confused with someone else's `tests`."""
