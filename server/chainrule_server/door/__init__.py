"""The one way in: every call passes the same stages in the same order, each cheaper than the next."""
