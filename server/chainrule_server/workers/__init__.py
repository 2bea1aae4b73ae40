"""The local pool: own processes, shared memory, and bits that depend on neither. No grpc here."""
