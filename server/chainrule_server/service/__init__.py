"""Servicers: decode, call, encode. Nothing is decided here."""
