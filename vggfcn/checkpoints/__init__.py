"""Weight files: bytes in, canonical arrays out, without Keras.

Three questions, three places: which arrays lie where in the file (one module per format, told apart by `detection`),
which of them is which layer's kernel and how its axes run (`dialects`), and how they become canonical (`weights`).
"""
