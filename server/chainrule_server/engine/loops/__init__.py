"""Derivatives of nodes that run functions: one rule a file, each a graph over graphs."""
