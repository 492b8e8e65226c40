"""The rules of conversion, one function for each kind of layer; `conversion.convert.RULES` says which applies.

What to know before changing something here:

- A rule takes a `LayerCall` and returns the `Value` that the layer computes in the converted network, or refuses the
  layer with the reason why it cannot be exact and what to do.
- `layers` has the rules for layers inside a network, `heads` those for dense layers and global pooling, `channels`
  those for operations that move, slice or mix channels, `windows` those for layers that treat each position of a
  flattened map differently, and for branches that meet with different strides.
"""
