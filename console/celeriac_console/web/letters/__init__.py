"""Dead letters as screens read them: a first part of each queue, kept for a short time."""
