"""`chainrule replay`: a session's log done again in a process of its own."""
