"""The server of chainrule: one door, an autograd engine, worker processes, sessions."""
