"""Error rates of a classifier on labelled images: the images, the protocol of the VGG paper, and the results file.

What to know before changing something here:

- **Maps are averaged as logits, and everything else as probabilities.** The docstring of `vgg_protocol` is the
  protocol. One network computes dense maps and crops.
- **A results file belongs to one run**: its first line holds the scales, the preprocessing and hashes of the weights,
  the class names and the list of images.
"""
