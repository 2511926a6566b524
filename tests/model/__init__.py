"""The protocol once more, small enough to be explored whole: every order in which anything can happen.

Nothing here is imported from the product. Left out are conditions and data, limits of parallel calls, undos
whose failure holds up nothing, answers that put off, and what a person does to a whole saga but cancel it.
"""
