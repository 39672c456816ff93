"""Batches as the flow table holds them: a root, a tree of nodes that count the members, and what its status says."""
