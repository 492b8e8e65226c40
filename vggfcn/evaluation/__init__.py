"""Run a network over images: score maps, localisation, error rates, speed, and the demo.

What to know before changing something here:

- **Evaluation averages maps as logits, and everything else as probabilities.** The docstring of `vgg_protocol` is the
  protocol. One network computes dense maps and crops.
- **A results file belongs to one run**: its first line holds the scales and hashes of the weights, the class names and
  the list of images.
- **Places are in pixels of the original image**, even if it was scaled for the network. The maps of several passes are
  averaged where their cells lie, on the grid of the largest.
- **NaN means that no window covers a pixel.** `covered_heatmap` marks such pixels; `heatmap` has values up to the
  border.
- **One input channel means grey.** Functions here take RGB, and `images.resizing.with_channels` converts it for the
  network.
- **Times leave out what is done once**: engines compile at their first call, so `dense_vs_windows` and `benchmark` call
  each once before they measure.
"""
