"""Who may see the page and act on it, and what browsers are told to refuse."""
