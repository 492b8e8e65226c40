"""The command line: options, help, messages and exit codes; the work is done in the packages below.

What to know before changing something here:

- **Light things stay light.** `vggfcn --help` and `--version` load no NumPy, no Rich and no TensorFlow. A command is
  imported when it runs, and it imports what needs TensorFlow inside its function.
- **Native libraries write to stderr on their own.** They are silenced while TensorFlow loads and while images are read;
  `console.messages` writes to a copy of stderr that is not affected.
- **Results go to stdout, everything else to stderr.** Exit codes: 0 success, 1 refused (one line on stderr says why),
  2 wrong usage, 130 interrupted.
- **An option means the same in every command.** Options that several commands have are in `options`; each command's
  examples are in `help.EXAMPLES`, and tests parse them.
"""
