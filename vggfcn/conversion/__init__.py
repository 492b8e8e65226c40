"""Make networks from networks and check that they are the same: `convert`, `with_output_stride`, `cam`, `verify`.

What to know before changing something here:

- **Conversion follows values, not layers.** Each `Value` records which map of the original its tensor stands for at
  native size: its rows, columns and channels, and the shape and order in which the original holds the numbers. So
  Flatten and Reshape need no operation, and the size of a dense layer's kernel is known. A vector is a map of one cell.
- **Context or head?** Before the walk, `walk._flowing_into_maps` finds the tensors from which a map is computed later
  on. Global pooling of such a tensor is context (squeeze-and-excitation): it is refused, or kept with
  `keep_global=True`. Any other global pooling is a head and becomes a window.
- **Flattened maps are held as windows** (`windows`) where a layer treats their places differently: each cell has the
  vector of its window as channels. That costs as much memory as all windows, so dense layers do not need it.
- **OpenVINO fuses `keras.ops.take` of channels wrongly** into the next convolution, so channels are moved by slices,
  and the engine refuses the operation.
- **A finer map interleaves phases.** Cell u of the coarse map is cell rate * u of the finer one. Convolutions that read
  neighbours are dilated by `rate`. Keras's pools have no dilation, so they become maxima or means of shifted maps, in a
  nested model with the pool's name, where the names of operations cannot clash.
- **SAME padding with a stride depends on the image's size**, which Keras's graph does not know: `phases._trimmed`
  counts cells with stock operations when the network runs.
- **What follows the last pooling may come first if it is linear**: that is `cam`. `pooled_heads` finds the pooling from
  the output backwards, through nested models, and refuses every layer in between that is not known to be linear.
- **`verify` compares twice**: in the networks' own precision, and in float64 with leaky ReLUs and without the final
  softmax, since dead units and saturation hide differences.
- **Normalisation is kept as layers**, so networks with batch normalisation convert, and can be trained further.
"""
