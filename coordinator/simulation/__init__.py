"""The real engine in a world of our own: time, disk, network and participants that do what a plan says."""
