"""Published networks: their layers as data, their weight files, and the Keras models built from both.

What to know before changing something here:

- **Canonical weights.** Kernels are (rows, columns, in, out) for RGB, and the inputs of the first dense kernel are
  flattened in the order rows, columns, channels. `weights` brings every file to this form, so nothing else needs to
  know about BGR or other orders of axes. `dialects` has one row per distribution; `checkpoints` reads the bytes.
- **A file is read only if all of it is that network.** What it holds and says beyond that is refused, with the way out.
- **Preprocessing belongs to the checkpoint**, not to the architecture. It becomes a stock `Normalization` layer at the
  model's input, so a model takes plain RGB in [0, 255].
- **A layer spec says what the paper says.** `builders.sequential` says how to compute it with stock Keras layers. A
  connection table is a kernel with zeros: `Architecture.parameters()` does not count them, Keras does.
- **EfficientNet keeps its batch normalisation.** In VGG files it is folded into the convolutions when they are read.
  EfficientNet's is not, so that `convert` sees the published network and you can train it further. At stride 2 its
  padding is uneven, the same for every image size: `ReceptiveField.extra_padding_after`.
- **A network of a new kind is a new family**: specs that provide what `families.NetworkSpec` lists, a reader and a
  builder, and a line in `resolve.FAMILIES`. A weight file is opened once: a `Classifier` keeps it and builds from it.
- **Weight files are hostile.** A reader runs nothing from the file, checks sizes before it allocates memory, and raises
  `WeightsError` for anything wrong.
- **Only `builders` imports Keras**, and it is imported when a model is built. So names, weights and labels are checked
  before TensorFlow loads.
"""
