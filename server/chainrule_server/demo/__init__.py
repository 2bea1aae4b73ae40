"""The demo: the example network on handwritten digits, trained over the wire."""
