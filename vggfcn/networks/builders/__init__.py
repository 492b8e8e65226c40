"""Build the published networks as Keras models.

What to know before changing something here:

- **Only stock Keras layers**, so that a model saves and loads without this package.
- **No second copy.** A reader fills an aligned buffer, TensorFlow adopts it through DLPack, and
  `graph.copying.building_from` makes a layer's variables from it. TensorFlow aborts on buffers that are not aligned, so
  such arrays are copied.
- **One input channel means grey.** The model takes images as the network does; `images.resizing.with_channels` converts
  RGB.
- **A connection table holds in new networks only at first**: training keeps its zeros only under a constraint, which is
  up to the training code.
"""
