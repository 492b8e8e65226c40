"""One network written in every format that is understood, by the programs that own the formats where that can be."""

import functools
import pickle

import keras
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from paths import DATA
from writers import TINY, arrays_of, convolutional, to_torch, write_published_layout

import vggfcn
from vggfcn.networks.catalogue import HEAD
from vggfcn.networks.writing import write_weights


def bgr(name, kernel):
    return kernel[:, :, ::-1] if name == "block1_conv1" else kernel


def caffe_name(name):
    return f"fc{6 + HEAD.index(name)}" if name in HEAD else name.replace("block", "conv").replace("_conv", "_")


def layers(architecture, rename=lambda name: name, turn=bgr):
    """(name, kernel, bias) as a distribution keeps them, by default for BGR."""
    return [(rename(name), turn(name, kernel), bias) for name, (kernel, bias) in arrays_of(architecture).items()]


def published(path, architecture):
    write_published_layout(path, layers(architecture))


def keras_model(architecture, preprocess=False):
    """The network in Keras, for BGR if nothing is done to the image first."""
    model = vggfcn.build(architecture, weights=None, head="dense", preprocess=preprocess)
    for name, kernel, bias in layers(architecture, turn=(lambda name, kernel: kernel) if preprocess else bgr):
        model.get_layer(name).set_weights([kernel, bias])
    return model


def nested_model(architecture):
    """What people fine-tune: the trunk as one layer, then layers with Keras's own names."""
    trunk = vggfcn.build(architecture, weights=None, head=None, preprocess=False)
    names = dict(zip(HEAD, ("dense", "dense_1", "dense_2"), strict=True))
    head = {row.name: keras.layers.Dense(row.units, name=names[row.name]) for row in architecture.head}
    model = keras.Sequential([keras.Input((224, 224, 3)), trunk, keras.layers.Flatten(), *head.values()])
    for name, kernel, bias in layers(architecture):
        layer = head[name] if name in head else trunk.get_layer(name)
        layer.set_weights([kernel, bias])
    return model


def saved(make, suffix, method="save"):
    def write(path, architecture):
        file = path.with_name(f"model{suffix}")
        getattr(make(architecture), method)(file)
        file.rename(path)

    return write


def numpy_dict(path, architecture, order=np.ascontiguousarray):
    stored = {name: [order(kernel), bias] for name, kernel, bias in layers(architecture, caffe_name)}
    with path.open("wb") as file:
        np.save(file, stored, allow_pickle=True)


def numpy_dict_in_fortran_order(path, architecture):
    numpy_dict(path, architecture, np.asfortranarray)


def numpy_dict_of_protocol_2(path, architecture):
    """Protocol 2, as Python 2 wrote it; Python 3 keeps bytes in it as text."""
    header = b"\x93NUMPY\x01\x00"
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
    value = np.empty((), object)
    value[()] = {name: [kernel, bias] for name, kernel, bias in layers(architecture, caffe_name)}
    path.write_bytes(header + len(text).to_bytes(2, "little") + text + pickle.dumps(value, protocol=2))


@functools.cache
def caffe_messages():
    """Caffe's messages as far as weights go, made by the protobuf library; numbers are those of caffe.proto."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    kinds = {"int32": 5, "float": 2, "string": 9, "int64": 3}
    fields = {
        "BlobShape": [("dim", 1, "int64", "packed")],
        "BlobProto": [
            *[(name, number, "int32", "") for number, name in enumerate(("num", "channels", "height", "width"), 1)],
            ("data", 5, "float", "packed"),
            ("shape", 7, "BlobShape", ""),
        ],
        "V1LayerParameter": [("name", 4, "string", ""), ("type", 5, "int32", ""), ("blobs", 6, "BlobProto", "many")],
        "LayerParameter": [("name", 1, "string", ""), ("type", 2, "string", ""), ("blobs", 7, "BlobProto", "many")],
        "NetParameter": [
            ("name", 1, "string", ""),
            ("layers", 2, "V1LayerParameter", "many"),
            ("layer", 100, "LayerParameter", "many"),
        ],
    }
    for message, members in fields.items():
        descriptor = file.message_type.add(name=message)
        for name, number, kind, label in members:
            field = descriptor.field.add(name=name, number=number, label=3 if label else 1, type=kinds.get(kind, 11))
            if kind not in kinds:
                field.type_name = f".caffe.{kind}"
            if label == "packed":
                field.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


def caffe_layers(architecture):
    return layers(architecture, caffe_name, lambda name, kernel: to_torch(name, bgr(name, kernel)))


def caffe_model(path, architecture):
    net = caffe_messages()(name="VGG_ILSVRC_16_layers")
    net.layer.add(name="data", type="Input")
    for name, *arrays in caffe_layers(architecture):
        layer = net.layer.add(name=name, type="Convolution" if name.startswith("conv") else "InnerProduct")
        for array in arrays:
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(array.ravel().tolist())
    path.write_bytes(net.SerializeToString())


def old_caffe_model(path, architecture):
    net = caffe_messages()(name="VGG_ILSVRC_16_layers")
    for name, *arrays in caffe_layers(architecture):
        layer = net.layers.add(name=name, type=4 if name.startswith("conv") else 14)
        for array in arrays:
            blob = layer.blobs.add()
            blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape
            blob.data.extend(array.ravel().tolist())
    path.write_bytes(net.SerializeToString())


def cell(items):
    array = np.empty((1, len(items)), object)
    for index, item in enumerate(items):
        array[0, index] = item
    return array


def matconvnet(path, architecture, compressed=True):
    import scipy.io

    def turned(name, kernel):
        return convolutional(name, kernel) if name in HEAD else kernel

    stored = [
        {"name": name, "type": "conv", "weights": cell([kernel, bias[:, None]])}
        for name, kernel, bias in layers(architecture, caffe_name, turned)
    ]
    stored.insert(1, {"name": "relu1_1", "type": "relu"})
    meta = {
        "normalization": {"averageImage": np.array([[[1.0, 2.0, 3.0]]], np.float32)},
        "classes": {"description": cell([f"class {i}" for i in range(7)])},
    }
    with path.open("wb") as file:
        scipy.io.savemat(file, {"layers": cell(stored), "meta": meta}, do_compression=compressed)


def uncompressed_matconvnet(path, architecture):
    matconvnet(path, architecture, compressed=False)


def own(suffix):
    def write(path, architecture):
        source = path.with_name("source.h5")
        published(source, architecture)
        write_weights(vggfcn.read_weights(source), path.with_name(f"own{suffix}"))
        path.with_name(f"own{suffix}").rename(path)
        source.unlink()

    return write


def golden(name):
    """A file that torch or another program wrote, see `data/make_golden.py`."""

    def write(path, architecture):
        size = "tiny" if architecture is TINY else "micro"
        path.write_bytes((DATA / f"{size}-{name}").read_bytes())

    return write


# Name -> container, dialect, how to write such a file.
FORMATS = {
    "published": ("Keras HDF5", "Keras", published),
    "model.h5": ("Keras HDF5", "Keras", saved(keras_model, ".h5")),
    "nested model.h5": ("Keras HDF5", "Keras, own head", saved(nested_model, ".h5")),
    ".weights.h5": ("Keras 3 HDF5", "Keras", saved(keras_model, ".weights.h5", "save_weights")),
    ".keras": ("Keras 3 HDF5", "Keras", saved(keras_model, ".keras")),
    ".keras with preprocessing": (
        "Keras 3 HDF5",
        "Keras",
        saved(functools.partial(keras_model, preprocess=True), ".keras"),
    ),
    "nested .weights.h5": ("Keras 3 HDF5", "Keras, own head", saved(nested_model, ".weights.h5", "save_weights")),
    "nested .keras": ("Keras 3 HDF5", "Keras, own head", saved(nested_model, ".keras")),
    "own .weights.h5": ("Keras 3 HDF5", "Keras", own(".weights.h5")),
    "own .safetensors": ("safetensors", "vggfcn", own(".safetensors")),
    ".npy": ("npy", "tensorflow-vgg", numpy_dict),
    ".npy in Fortran order": ("npy", "tensorflow-vgg", numpy_dict_in_fortran_order),
    ".npy of protocol 2": ("npy", "tensorflow-vgg", numpy_dict_of_protocol_2),
    "torch zip": ("torch zip", "torchvision", golden("torchvision.pth")),
    "torch legacy": ("torch legacy", "torchvision", golden("torchvision-legacy.pth")),
    "timm .safetensors": ("safetensors", "timm", golden("timm.safetensors")),
    ".caffemodel": ("caffemodel", "Caffe", caffe_model),
    "old .caffemodel": ("caffemodel", "Caffe", old_caffe_model),
    ".mat": ("mat", "MatConvNet", matconvnet),
    "uncompressed .mat": ("mat", "MatConvNet", uncompressed_matconvnet),
    ".onnx": ("onnx", "ONNX model zoo", golden("torch.onnx")),
}
