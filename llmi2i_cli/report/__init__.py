"""One page about a work directory: what was run, what came of it, and items to judge by eye."""
