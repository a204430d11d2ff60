"""A last training with choices that were made before: what another work directory chose, on more of the log."""
