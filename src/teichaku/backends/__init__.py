"""Models at the edge: one SDK a file, imported late."""
