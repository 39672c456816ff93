"""What a deploy would lose, leave behind, or fail at."""
