"""Write this folder's golden files with the programs that own their formats; needs torch, onnx and safetensors.

    python make_golden.py [efficientnet-lite0.pth]

The given file's arrays, as torch reads them, go into `efficientnet-lite0.json`: name -> dtype, shape, sum and MD5.
"""

import hashlib
import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent
sys.path[:0] = [str(FOLDER.parent / "helpers"), str(FOLDER.parent.parent)]

import numpy as np
import onnx
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from writers import MICRO, TINY, arrays_of, tiny_image, to_torch

from vggfcn.networks.catalogue import HEAD, ConvSpec

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def network(architecture, normalized=False):
    """An architecture as torchvision builds it, with its numbers; batch normalisation gets some of its own."""
    layers, channels = [], 3
    rng = np.random.default_rng(13)
    arrays = arrays_of(architecture)
    for row in architecture.trunk:
        if not isinstance(row, ConvSpec):
            layers.append(nn.MaxPool2d(2))
            continue
        convolution = nn.Conv2d(channels, row.filters, 3, padding=1)
        put(convolution, row.name, *arrays[row.name])
        layers.append(convolution)
        if normalized:
            layers.append(normalization(row.filters, rng))
        layers.append(nn.ReLU())
        channels = row.filters
    head = [nn.Linear(*arrays[name][0].shape) for name in HEAD]
    for name, layer in zip(HEAD, head, strict=True):
        put(layer, name, *arrays[name])
    classifier = nn.Sequential(head[0], nn.ReLU(), nn.Dropout(), head[1], nn.ReLU(), nn.Dropout(), head[2])
    model = nn.Sequential()
    model.add_module("features", nn.Sequential(*layers))
    model.add_module("flatten", nn.Flatten())
    model.add_module("classifier", classifier)
    return model.eval()


def put(layer, name, kernel, bias):
    layer.weight.data = torch.tensor(to_torch(name, kernel))
    layer.bias.data = torch.tensor(bias)


def normalization(channels, rng):
    layer = nn.BatchNorm2d(channels)
    layer.weight.data = torch.tensor(rng.uniform(0.5, 1.5, channels).astype(np.float32))
    layer.bias.data = torch.tensor(rng.normal(0, 0.1, channels).astype(np.float32))
    layer.running_mean = torch.tensor(rng.normal(0, 0.1, channels).astype(np.float32))
    layer.running_var = torch.tensor(rng.uniform(0.5, 1.5, channels).astype(np.float32))
    return layer


def logits(model):
    image = torch.tensor(tiny_image()).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        return model((image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]).numpy()


def timm_names(state):
    """As timm keeps them: the head is convolutional but for the last layer."""
    renamed = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    turned = {}
    for name, tensor in state.items():
        layer, _, part = name.rpartition(".")
        if layer == "classifier.0" and part == "weight":
            tensor = tensor.reshape(len(tensor), -1, 7, 7)
        elif layer == "classifier.3" and part == "weight":
            tensor = tensor[:, :, None, None]
        turned[f"{renamed.get(layer, layer)}.{part}"] = tensor.contiguous()
    return turned


def zoo_model(model):
    """The normalised network as the ONNX model zoo keeps it: nodes in order, arrays under names of the exporter's."""
    nodes, arrays, last = [], [], "data"

    def add(kind, tensors, **attributes):
        nonlocal last
        names = [f"array_{len(arrays) + i}" for i in range(len(tensors))]
        arrays.extend(numpy_helper.from_array(t.detach().numpy(), n) for n, t in zip(names, tensors, strict=True))
        nodes.append(helper.make_node(kind, [last, *names], [f"out_{len(nodes)}"], **attributes))
        last = f"out_{len(nodes) - 1}"

    for layer in [*model.features, model.flatten, *model.classifier]:
        match layer:
            case nn.Conv2d():
                add("Conv", [layer.weight, layer.bias], kernel_shape=[3, 3], pads=[1] * 4)
            case nn.BatchNorm2d():
                four = [layer.weight, layer.bias, layer.running_mean, layer.running_var]
                add("BatchNormalization", four, epsilon=1e-5)
            case nn.ReLU():
                add("Relu", [])
            case nn.MaxPool2d():
                add("MaxPool", [], kernel_shape=[2, 2], strides=[2, 2])
            case nn.Flatten():
                add("Flatten", [])
            case nn.Linear():
                add("Gemm", [layer.weight, layer.bias], transB=1)
            case nn.Dropout():
                add("Dropout", [])
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "vgg",
        [value("data", TensorProto.FLOAT, (1, 3, 224, 224))],
        [value(last, TensorProto.FLOAT, (1, 7))],
        arrays,
    )
    return helper.make_model(graph)


def write_plain(architecture, prefix):
    model = network(architecture)
    state = model.state_dict()
    torch.save(state, FOLDER / f"{prefix}-torchvision.pth")
    torch.save(state, FOLDER / f"{prefix}-torchvision-legacy.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(timm_names(state), FOLDER / f"{prefix}-timm.safetensors", {"format": "pt"})
    data = torch.zeros(1, 3, 224, 224)
    torch.onnx.export(model, data, FOLDER / f"{prefix}-torch.onnx", dynamo=False, input_names=["data"])
    return model


def write_wrapped(model):
    """A checkpoint as training scripts save it: wrappers around the network, DataParallel within, dropout first."""
    first, relu, dropout, second, _, _, last = model.classifier
    wrapped = nn.Module()
    wrapped.backbone = nn.Module()
    wrapped.backbone.features = nn.DataParallel(model.features)
    wrapped.backbone.classifier = nn.Sequential(dropout, first, relu, dropout, second, relu, last)
    state = nn.DataParallel(wrapped).state_dict()
    optimizer = torch.optim.SGD(wrapped.parameters(), 0.1).state_dict()
    torch.save({"epoch": 3, "model": {"state_dict": state}, "optimizer": optimizer}, FOLDER / "micro-wrapped.pth")


def main():
    torch.manual_seed(0)
    write_wrapped(write_plain(MICRO, "micro"))
    plain, normalized = write_plain(TINY, "tiny"), network(TINY, normalized=True)
    state = {f"module.{name}": tensor for name, tensor in normalized.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, FOLDER / "tiny-torchvision-bn.pth")
    onnx.save(zoo_model(normalized), FOLDER / "tiny-zoo-bn.onnx")
    np.savez(FOLDER / "logits.npz", plain=logits(plain), normalized=logits(normalized))
    if len(sys.argv) > 1:
        write_summary(torch.load(sys.argv[1], map_location="cpu", weights_only=True))


def write_summary(state):
    summary = {
        name: [str(t.dtype), list(t.shape), float(t.double().sum()), hashlib.md5(t.numpy().tobytes()).hexdigest()]
        for name, t in state.items()
    }
    (FOLDER / "efficientnet-lite0.json").write_text(json.dumps(summary, indent=0) + "\n")


if __name__ == "__main__":
    main()
