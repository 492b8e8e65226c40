"""Rewrites the configurations of Keras models as data: what older versions wrote, in the form that Keras 3 reads.

What to know before changing something here:

- Nothing here imports Keras. A configuration is JSON in and JSON out, and no class that it names is looked up.
- `classes` is the closed list of what a configuration may name. Everything else is code of the file's author, and is
  refused by name, whichever libraries are installed.
- A rule must give the same function. Where Keras 3 computes something else under the same name (`hard_sigmoid`), the
  rule writes what Keras 2 computed, or refuses the layer.
- Rules are idempotent: a configuration in Keras 3's form is not changed.
- Every layer that a rule changes is counted in the notes, which are shown to the user.
"""
