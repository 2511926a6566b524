"""The protocol once more, small enough to be explored whole: every order in which anything can happen."""
