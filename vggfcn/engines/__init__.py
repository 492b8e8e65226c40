"""A Keras model as a fast callable."""
