"""The modules that Lambda loads: a handler for consumers, one for the relay, one for the sweeper."""
