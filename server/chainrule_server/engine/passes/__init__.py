"""Graph to graph: the same values from fewer or cheaper nodes."""
