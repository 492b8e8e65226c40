"""The readers of weight files, one module per format, and `detection`, which chooses the reader.

What to know before changing something here:

- A reader is a function from a path and the file's `Budget` to a `Container`; it may raise anything, because it runs
  within `reading`. A new format is a module here, a value of `tensors.FileFormat`, a line in `detection`, and a row in
  `networks.dialects` for each distribution that uses the format.
- Detection looks at a file's content, never at its name.
- Rules for hostile files are in the docstring of `vggfcn.checkpoints`.
"""
