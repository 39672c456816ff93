"""Long work on dead letters: it goes on in a thread while tabs come and go."""
