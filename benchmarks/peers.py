"""Full-size VGG16, fully convolutional, written for other frameworks from the same arrays; run by `ways.py`."""

import pathlib

import numpy as np

MEAN = np.array([123.68, 116.779, 103.939], np.float32)
STAGES = (2, 2, 3, 3, 3)  # convolutions, each stage followed by a pool


class Peer:
    """Images come as (1, H, W, 3), RGB in [0, 255], and logits go as (1, rows, columns, 1000), as everywhere."""

    def arrays(self, weights):
        """(kernel as (out, in, rows, columns), bias) of each layer; the last three are convolutions already."""
        with np.load(pathlib.Path(weights).with_name("arrays.npz")) as file:
            return [
                (np.ascontiguousarray(file[f"kernel{i}"].transpose(3, 2, 0, 1)), file[f"bias{i}"])
                for i in range(len(file.files) // 2)
            ]


class ONNXRuntime(Peer):
    def imports(self):
        import onnx
        import onnxruntime  # noqa: F401

        self.onnx = onnx

    def build(self, weights):
        """The graph as bytes."""
        from onnx import TensorProto, helper, numpy_helper

        arrays = self.arrays(weights)
        nodes, values, last = [], [], "image"

        def add(kind, *given, **attributes):
            nonlocal last
            output = f"{kind}{len(nodes)}"
            nodes.append(helper.make_node(kind, [last, *given], [output], **attributes))
            last = output

        def constant(array):
            name = f"constant{len(values)}"
            values.append(numpy_helper.from_array(array, name))
            return name

        def convolve(kernel, bias, pad):
            add("Conv", constant(kernel), constant(bias), pads=[pad] * 4)

        layers = iter(arrays)
        add("Sub", constant(MEAN))
        add("Transpose", perm=[0, 3, 1, 2])
        for convolutions in STAGES:
            for _ in range(convolutions):
                convolve(*next(layers), 1)
                add("Relu")
            add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        for number, (kernel, bias) in enumerate(layers):
            if number:
                add("Relu")
            convolve(kernel, bias, 0)
        add("Transpose", perm=[0, 2, 3, 1])
        given = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, "height", "width", 3])
        made = helper.make_tensor_value_info(last, TensorProto.FLOAT, [1, "rows", "columns", 1000])
        graph = helper.make_graph(nodes, "vgg16", [given], [made], values)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()

    def ready(self, network):
        import onnxruntime

        session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
        return lambda batch: session.run(None, {"image": batch})[0]


class PyTorch(Peer):
    def __init__(self, compiled):
        self.compiled = compiled

    def imports(self):
        import torch

        self.torch = torch

    def build(self, weights):
        torch, modules, layers = self.torch, [], iter(self.arrays(weights))

        def convolve(kernel, bias, pad):
            # On "meta" a layer has no numbers of its own, which would only be overwritten.
            layer = torch.nn.Conv2d(*kernel.shape[1::-1], kernel.shape[2], padding=pad, device="meta")
            layer.weight = torch.nn.Parameter(torch.from_numpy(kernel), False)
            layer.bias = torch.nn.Parameter(torch.from_numpy(bias), False)
            modules.append(layer)

        for convolutions in STAGES:
            for _ in range(convolutions):
                convolve(*next(layers), 1)
                modules.append(torch.nn.ReLU(inplace=True))
            modules.append(torch.nn.MaxPool2d(2))
        for number, (kernel, bias) in enumerate(layers):
            if number:
                modules.append(torch.nn.ReLU(inplace=True))
            convolve(kernel, bias, 0)
        return torch.nn.Sequential(*modules).eval().to(memory_format=torch.channels_last)

    def ready(self, network):
        torch, mean = self.torch, self.torch.from_numpy(MEAN)

        def forward(batch):
            return network((batch - mean).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

        if self.compiled:
            forward = torch.compile(forward)

        def run(batch):
            with torch.inference_mode():
                return forward(torch.from_numpy(batch)).numpy()

        return run


PEERS = {"ONNX Runtime": ONNXRuntime(), "PyTorch": PyTorch(False), "PyTorch, compiled": PyTorch(True)}
