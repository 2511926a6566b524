"""The laws, one function each, named after it: what the evidence says about it, and what breaks it."""
