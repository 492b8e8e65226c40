"""Score maps: where their cells lie on the image, and how they are drawn and written. NumPy and Pillow only.

What to know before changing something here:

- Geometry is integers. With VGG, cell u stands for the pixels [32 u, 32 u + 224), and its centre is 32 u + 111.5. A
  heatmap is interpolated between those centres and constant beyond the outermost ones; it is never a map that was
  resized to the image.
- Positions are those of the original image. If the image was scaled for the network, its map has a `ScaledGeometry`,
  whose spans and centres are still in pixels of the original image.
- If a network pads its input by different amounts on opposite sides, `ReceptiveField.extra_padding_after` is the
  difference.
- NaN means that no window covers a pixel: drawings show the grey image there, `.npy` files contain NaN, and TIFF files
  contain 0. Interpolation itself goes up to the border; `ScoreMap.covered` gives the mask.
- Interpolation adds to a cell's value a fraction of the difference to the next cell's, rather than weighting both. So a
  constant stays constant to the last bit.
- `activations` is the only place where logits become probabilities. Under a softmax, a group's is the log-sum-exp of
  its members. It is computed from their odds against all other classes, which still differ where the probabilities all
  round to 1. For one class the result is its log-softmax, unchanged. Of sigmoids it is the largest of the members'.
- A network's output that is no probability is a map of values. Its `Scale` is the range of the map, not 0 to 1.
- The logits of a map may be a file larger than memory. `ScoreMap` therefore reads them in parts (`ScoreMap.parts`).
"""
