"""Published networks: their layers as data, their weight files, and the Keras models built from both."""
