"""What is declared and what travels: pure data and pure decisions, without AWS."""
