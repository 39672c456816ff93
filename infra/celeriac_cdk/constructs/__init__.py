"""What a stage is made of: a file for each construct."""
