"""Reads weight files: bytes in, named arrays out, without Keras and without knowing any network.

What to know before changing something here:

- This package only finds named arrays in a file: one module per format in `formats/`, chosen by `formats.detection`
  from the file's content. `networks.dialects` knows which array is which layer's kernel, and `networks.weights` puts
  the arrays into canonical form.
- Preprocessing belongs to the checkpoint, not to the architecture. A `Container` carries a `Preprocessing` where the
  file states one.
- Files are hostile. A reader executes nothing from the file, checks sizes before it allocates memory, and raises
  `WeightsError` for anything wrong. A new format needs attacks in `tests/whole/test_hostile_files.py` and an entry in
  `tests/helpers/format_writers.py`, which includes it in the tests of all formats and in `make fuzz`.
- Large arrays stay in the file until they are needed, and are then read once, straight into their final memory. That
  memory is aligned, because TensorFlow can only adopt an aligned buffer without a copy.
- `reading` is the boundary: it hands out the file's `Budget`, from which every reader spends before it makes anything,
  and turns whatever a reader raises into `WeightsError`.
- The HDF5 library reads in a child process with limits (`hdf5`): a damaged file can crash it, or keep it busy for ever.
- Nothing here imports TensorFlow, Keras, or any package of vggfcn except the root.
"""
