"""The invariants, one pure function each, named after it: what the evidence says about it."""
