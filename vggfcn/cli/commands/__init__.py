"""One module per command; each says on stdout what the packages below computed.

What to know before changing something here:

- **A new command** is a module here, a row in `main.COMMANDS` and examples in `help.EXAMPLES`.
- **Refuse before the work.** Check options, input files and output paths before TensorFlow loads.
- **Commands hold no numerics.** If a command needs a formula, a function of the library is missing.
"""
