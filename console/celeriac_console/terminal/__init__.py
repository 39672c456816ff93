"""The output, the questions, the times and the errors of the commands."""
