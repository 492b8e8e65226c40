"""A Keras model as a graph: walked, its layers' kinds, copies of layers, receptive fields."""
