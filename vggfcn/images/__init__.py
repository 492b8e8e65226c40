"""Reading images, whole or in parts, and resizing them.

What to know before changing something here:

- Image files are hostile. On damaged files, decoders raise exceptions of many kinds; each becomes an `ImageError`.
  `make fuzz` reads thousands of damaged images. C libraries print to stderr on their own, so the command line reads
  images inside `loading.silenced`; the app does not, because that would silence all its threads.
- A large image is never in memory as a whole. A source decodes only the tiles that a rectangle touches, and keeps those
  that extend below it, so that each is decoded once when an image is read from top to bottom. Its pixels are the same
  as those of `read_image`.
- Sizes are checked before bytes are read, and only decoders that stop at a given size are used. The codecs of a Zarr
  must be in a fixed set, because there is a codec outside it that unpickles data.
- A network with one input channel takes grey images. Functions of the library take images as the network does;
  `resizing.with_channels` makes an RGB image grey.
"""
