"""chainrule: gradients as a service. Trace NumPy code, send it as data, get derivatives."""
