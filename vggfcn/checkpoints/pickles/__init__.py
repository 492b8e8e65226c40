"""Reads pickles of arrays as data: nothing is imported, nothing is called, and everything made is counted.

What to know before changing something here:

- `machine` runs the pickle's opcodes. Each spends from the file's budget, before it makes anything; what a pickle makes
  once, it can use a million times, so whatever copies a value counts again.
- `records` has the closed table of the names that a pickle may refer to, and the plain records made of them.
- `nesting` bounds how deep values are nested. No value of a pickle is hashed, compared, copied or printed as a whole.
"""
