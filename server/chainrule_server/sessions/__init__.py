"""Training sessions: a log of deterministic operations over state that outlives every process."""
