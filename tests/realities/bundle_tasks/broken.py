"""A module that can't be loaded. The tasks of the others must run all the same."""

raise RuntimeError("this module can't be loaded")
