"""One module for each file format of weights, and the detection of formats."""
