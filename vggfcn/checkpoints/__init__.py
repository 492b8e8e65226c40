"""Weight files: bytes in, canonical arrays out, without Keras.

Three questions, three places: which arrays lie where in the file (one module per container), which of them is which
layer's kernel and how its axes run (`dialects`), and what the whole is called for (`reading`).
"""
