"""What a graph is: avals, the vocabulary, functions in columns, their canonical form. NumPy only."""
