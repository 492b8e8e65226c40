"""Write a model in another runtime's format, run it there and compare the outputs.

What to know before changing something here:

- An export appears at its path only after its own runtime has run it and the outputs have matched the Keras model's, on
  images of two sizes. The bound is that of `vggfcn.verify`.
- A format is a row in `formats.FORMATS`, a function in `writers` and a function in `runtimes`. The command line reads
  `formats`, which imports no Keras.
- Exports do not contain the Winograd convolutions of the OpenVINO engine: they hold only standard operations.
- Weights are passed on without copies where the libraries allow it: Keras's own SavedModel export would hold them
  twice, and tf2onnx takes twenty times the memory of weights that are in its graph.
"""
