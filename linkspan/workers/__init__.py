"""The warm workers: processes that have imported everything and wait for launchers to hand them calls."""
