"""The commands: each has a file, and each group of commands a folder, under the words of the command line."""
