"""Run images larger than memory block by block, and resume interrupted runs.

What to know before changing something here:

- **The schedule works backwards from the output.** For the first n rows of the output, each map has a reach, computed
  from the output back to the image. A block computes the rows between two reaches and keeps those that a layer reads
  again. Branches that meet need no rule of their own. Blocks whose numbers are equal share one compiled step, as all
  blocks in the middle of an image do.
- **A strip must pad like the whole image.** Whether it does is read from the graph at the strip's width and not
  derived: the padding of networks from `with_output_stride` depends on the strides that they had before.
- **A killed run resumes from its state.** Beside the map are the journal of finished blocks, and the rows that the next
  block needs of all earlier ones. A block is recorded once its logits are on the disk; its state is saved after that.
- **A resumed map keeps its cut into blocks and strips.** A new one would depend on how much memory the process holds at
  that moment.
- **Large kernels are matrix products.** TensorFlow packs a convolution's kernel at every call, which took half the time
  of VGG. One product for each row of the kernel computes the same sums, in engines and in streams. The network alone
  decides which layers run this way, so the same image gives the same bits.
- **A stream's weights are the model's own variables**; only the step that OpenVINO runs has a copy.
- **A large image is never in memory whole.** Rows are read from the top, each once, as far as any cell sees.
"""
