"""A Keras model as a graph: walk it, know its layers' kinds, copy its layers, compute receptive fields.

What to know before changing something here:

- **Only `walking` reads Keras's graph** (`_nodes_by_depth`, `node.arguments`), for which Keras has no public names. A
  conversion, a receptive field and a finer output stride are all evaluations of that graph, each with its own values.
- **`layers` alone says what kind a class is.** A new Keras class needs a name in that table; a new kind also needs a
  rule in `conversion.convert.RULES`, and a place in `receptive_fields` if it keeps cells apart.
- **`fronts` says what a network does to its images first**: `convert` drops that, and `verify` makes up for it.
- **Copies share memory.** A variable made from another's tensor reads the same buffer until either is assigned to:
  TensorFlow copies on write. `copying.building_from` replaces a layer's `add_weight` while it is built.
- **A nested model is rebuilt once for each kind of input**, with layers of its own: Keras cannot restore a layer that
  two nested models share.
- **`receptive_field` runs the operations that depend on sizes alone**, such as the padding of finer networks, as it
  meets them. Anything else that reads part of a map is refused.
- **SAME padding can be uneven**: with a stride it depends on the size, and the extra cell is at the end. That is
  `ReceptiveField.extra_padding_after`.
"""
