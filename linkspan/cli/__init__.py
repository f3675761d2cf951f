"""The `linkspan` command."""
