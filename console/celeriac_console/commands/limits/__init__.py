"""The commands `celeriac limits ...`: they show the limits, and change them at run time."""
