"""`make bench`: how many sagas a second, how long each takes and what it costs, of real processes."""
