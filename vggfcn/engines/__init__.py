"""Compile a Keras model into a fast callable, run by TensorFlow or OpenVINO.

What to know before changing something here:

- **An engine always has the model's current weights.** TensorFlow reads the variables at every call. OpenVINO packs a
  copy and keeps hold of the memory of the variables that it packed. TensorFlow copies on write, so while a variable's
  address is the same, its values are the same.
- **OpenVINO's converter does not keep shared weights alive**: hence `share_weights=False`.
- **A cached network is named after what was traced**, values included, not after a configuration.
- **Large kernels are matrix products.** TensorFlow packs a convolution's kernel at every call: VGG's first dense layer,
  run as a convolution, took half of the time. One product for each row of the kernel gives the same sums. Which layers
  use products depends on the network alone, so the same image gives the same bits in every run.
- **Winograd on OpenVINO only.** Its transforms are matrix products over whole maps; tiles are cut by one transposition
  and two concatenations, since OpenVINO takes long to read many slices. A layer with 512 channels is 2.8 times as fast
  in OpenVINO, one with 128 hardly faster. TensorFlow, which reads the variables at every call, would lose time. The
  points 0, +-5/7, +-7/5 and infinity have a quarter of the usual points' rounding error. Exports do not use it.
- **`table` loads no engine.** It is read by the command line, which must start without TensorFlow.
"""
