"""The language of definitions: how a document is read, what must hold of it, what its expressions yield."""
