"""What goes wrong around the program, done to it on purpose: `python -m tests.faults` (see `__main__`)."""
