"""What the engine needs from outside, as protocols of a few verbs with their promises in words."""
