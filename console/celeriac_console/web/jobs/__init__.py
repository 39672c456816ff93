"""Long work of the page: redrives, discards and replays. It goes on in a thread while tabs come and go."""
