"""`Classifier`, and what a network makes of images: score maps, localisation, error rates, speed, and the demo.

What to know before changing something here:

- **A `Classifier` is the one thing that every face takes.** Both of its networks take pixels in [0, 255] and return
  logits; `activation` says what these mean. Nothing above asks whether it came from published weights, from a Keras
  file or from memory.
- **Nothing is assumed of a network's input.** Its own layers, its weights or the user must say how images are prepared;
  otherwise `load` refuses. What was taken, and why, is in every report.
- **Logits become scores in one place**, `maps.activations`: probabilities by a softmax or by sigmoids, or values that
  nobody calls probabilities.
- **Places are in pixels of the original image**, even if it was scaled for the network. The maps of several passes are
  averaged where their cells lie, on the grid of the largest.
- **`padding` compares images that differ from a window by whole strides**, so that SAME padding is the same for both.
- **NaN means that no window covers a pixel.** `covered_heatmap` marks such pixels; `heatmap` has values up to the
  border.
- **One input channel means grey.** Functions here take RGB, and `images.resizing.with_channels` converts it for the
  network.
- **Times leave out what is done once**: engines compile at their first call, so `dense_vs_windows` and `benchmark` call
  each once before they measure.
"""
