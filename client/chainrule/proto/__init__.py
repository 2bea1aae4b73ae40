"""Generated messages; the package mirrors the path of the protos."""
