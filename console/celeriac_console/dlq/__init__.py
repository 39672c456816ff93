"""The commands `celeriac dlq ...`: dead letters are listed, shown, redriven, discarded, exported and imported."""
