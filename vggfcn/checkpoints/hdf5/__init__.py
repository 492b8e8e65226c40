"""HDF5 files from outside, read in a child process.

The HDF5 library is a large program in C, and a damaged file can crash it, keep it busy for ever or make it take all
memory. Here it never runs in the process that reads the file:

- `tree` is what a file contains, as plain data: groups, attributes, and arrays by shape, dtype and position.
- `process` runs the child: one for each file, with limits on memory, time and files, that ends with its connection.
- `worker` is what the child does: it describes the file as a tree, and reads arrays that only the library can decode.

Arrays that are stored in one piece are read past the library, from their position in the file.
"""
