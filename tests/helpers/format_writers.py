"""One network written in every format that is understood, by the programs that own the formats where that can be."""

import functools
import pickle

import h5py
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
    last = architecture.head[-1]
    head = {
        row.name: keras.layers.Dense(row.units, "softmax" if row is last else "relu", name=names[row.name])
        for row in architecture.head
    }
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


def mmdnn(path, architecture):
    """As MMdnn's intermediate weights: layer name -> {"weights", "bias"}, channels last."""
    stored = {name: {"weights": kernel, "bias": bias} for name, kernel, bias in layers(architecture, caffe_name)}
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


def numpy_archive(path, architecture, save=np.savez):
    """As Frossard's vgg16_weights.npz, for RGB: conv1_1_W, conv1_1_b, ..., fc8_b."""
    stored = {}
    for name, kernel, bias in layers(architecture, caffe_name, keep):
        stored |= {f"{name}_W": kernel, f"{name}_b": bias}
    with path.open("wb") as file:
        save(file, **stored)


def keras_with_caffes_names(path, architecture):
    """As the ports of VGGFace to Keras: pools and activations are listed too, arrays have numbered names."""
    with h5py.File(path, "w") as file:
        names = ["input_1"]
        for number, (name, kernel, bias) in enumerate(layers(architecture, caffe_name), 1):
            if number in (3, 5, 8, 11, 14):
                names.append(f"pool{1 + (3, 5, 8, 11, 14).index(number)}")
            names += (["flatten"] if name == "fc6" else []) + [name]
            names += {"fc6": ["fc6/relu"], "fc7": ["fc7/relu"], "fc8": ["fc8/softmax"]}.get(name, [])
            group = file.create_group(name)
            group.attrs["weight_names"] = np.array([f"{name}_1/kernel:0", f"{name}_1/bias:0"], "S")
            group[f"{name}_1/kernel:0"], group[f"{name}_1/bias:0"] = kernel, bias
        for name in names:
            file.require_group(name)
        file.attrs["layer_names"] = np.array(names, "S")


def keras_1(path, architecture):
    """As vgg16_weights.h5 of Keras 1 with Theano: numbered, (out, in, rows, columns), turned by 180 degrees.

    The first dense layer's inputs are in the order channels, rows, columns.
    """
    numbers = (1, 3, 6, 8, 11, 13, 15, 18, 20, 22, 25, 27, 29, 32, 34, 36)
    with h5py.File(path, "w") as file:
        file.attrs["nb_layers"] = 37
        for number, (name, kernel, bias) in zip(numbers, layers(architecture), strict=True):
            if name in HEAD:
                stored = convolutional(name, kernel).transpose(2, 0, 1, 3).reshape(kernel.shape)
            else:
                stored = kernel[::-1, ::-1].transpose(3, 2, 0, 1)
            file[f"layer_{number}/param_0"], file[f"layer_{number}/param_1"] = stored, bias
        for number in range(37):
            group = file.require_group(f"layer_{number}")
            group.attrs["nb_params"] = len(group)


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
        "ConvolutionParameter": [
            *[("num_output", 1, "int32", ""), ("bias_term", 2, "int32", ""), ("pad", 3, "int32", "many")],
            *[("kernel_size", 4, "int32", "many"), ("group", 5, "int32", ""), ("stride", 6, "int32", "many")],
            ("dilation", 18, "int32", "many"),
        ],
        "PoolingParameter": [
            *[("pool", 1, "int32", ""), ("kernel_size", 2, "int32", ""), ("stride", 3, "int32", "")],
            *[("pad", 4, "int32", ""), ("global_pooling", 12, "int32", "")],
        ],
        "ReLUParameter": [("negative_slope", 1, "float", "")],
        "V1LayerParameter": [
            *[("bottom", 2, "string", "many"), ("top", 3, "string", "many"), ("name", 4, "string", "")],
            *[("type", 5, "int32", ""), ("blobs", 6, "BlobProto", "many"), ("relu_param", 30, "ReLUParameter", "")],
            ("convolution_param", 10, "ConvolutionParameter", ""),
            ("pooling_param", 19, "PoolingParameter", ""),
        ],
        "LayerParameter": [
            *[("bottom", 3, "string", "many"), ("top", 4, "string", "many"), ("name", 1, "string", "")],
            *[("type", 2, "string", ""), ("blobs", 7, "BlobProto", "many"), ("relu_param", 123, "ReLUParameter", "")],
            ("convolution_param", 106, "ConvolutionParameter", ""),
            ("pooling_param", 121, "PoolingParameter", ""),
        ],
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


CAFFE_TYPES = {"Data": 5, "Convolution": 4, "InnerProduct": 14, "Pooling": 17, "ReLU": 18, "Dropout": 6, "Softmax": 20}


def caffe_net(architecture, old=False):
    """The network with its layers without blobs, as Caffe saves it; blobs are for `put`, which writes their sizes."""
    net = caffe_messages()(name="VGG_ILSVRC_16_layers")
    arrays = {name: (to_torch(name, bgr(name, kernel)), bias) for name, kernel, bias in layers(architecture, turn=keep)}
    top = "data"

    def add(name, kind, in_place=False):
        nonlocal top
        bottom, top = [top], top if in_place else name
        types = {"type": CAFFE_TYPES[kind] if old else kind}
        return (net.layers if old else net.layer).add(name=name, bottom=bottom, top=[top], **types)

    (net.layers if old else net.layer).add(name="data", type=5 if old else "Data", top=["data", "label"])
    for row in (*architecture.trunk, *architecture.head):
        if row.name not in arrays:
            add(row.name, "Pooling").pooling_param.MergeFrom(parameter("PoolingParameter", kernel_size=2, stride=2))
            continue
        name = caffe_name(row.name)
        layer = add(name, "Convolution" if hasattr(row, "filters") else "InnerProduct")
        if hasattr(row, "filters"):
            options = {"num_output": row.filters, "pad": [1], "kernel_size": [3]}
            layer.convolution_param.MergeFrom(parameter("ConvolutionParameter", **options))
        for array in arrays[row.name]:
            put(layer.blobs.add(), array, old)
        if row is not architecture.head[-1]:
            add(f"relu{name}", "ReLU", in_place=True)
        if row in architecture.head[:2]:
            add(f"drop{name}", "Dropout", in_place=True)
    add("prob", "Softmax")
    return net


def keep(name, kernel):
    return kernel


def parameter(message, **options):
    pool = caffe_messages().DESCRIPTOR.file.pool
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{message}"))(**options)


def put(blob, array, old):
    if old:
        blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape
    else:
        blob.shape.dim.extend(array.shape)
    blob.data.extend(array.ravel().tolist())


def caffe_model(path, architecture):
    path.write_bytes(caffe_net(architecture).SerializeToString())


def old_caffe_model(path, architecture):
    path.write_bytes(caffe_net(architecture, old=True).SerializeToString())


def cell(items):
    array = np.empty((1, len(items)), object)
    for index, item in enumerate(items):
        array[0, index] = item
    return array


def matconvnet_layers(architecture):
    """The structs of a network's layers, as MatConvNet keeps them: dense layers are convolutions without padding."""
    stored = []
    arrays = {name: (kernel, bias) for name, kernel, bias in layers(architecture, turn=keep)}
    for row in (*architecture.trunk, *architecture.head):
        if row.name not in arrays:
            pool = {"pool": [2.0, 2.0], "stride": [2.0, 2.0], "pad": [0.0] * 4, "method": "max"}
            stored.append({"name": row.name, "type": "pool", **pool})
            continue
        kernel, bias = arrays[row.name]
        kernel = convolutional(row.name, kernel) if row.name in HEAD else kernel
        pad = 1.0 if hasattr(row, "filters") else 0.0
        layer = {"name": caffe_name(row.name), "type": "conv", "weights": cell([kernel, bias[:, None]])}
        stored.append({**layer, "pad": [pad] * 4, "stride": [1.0, 1.0]})
        if row is not architecture.head[-1]:
            stored.append({"name": f"relu{caffe_name(row.name)}", "type": "relu"})
    return [*stored, {"name": "prob", "type": "softmax"}]


def matconvnet(path, architecture, compressed=True, stored=None):
    import scipy.io

    meta = {
        "normalization": {
            "averageImage": np.array([[[1.0, 2.0, 3.0]]], np.float32),
            "imageSize": [224.0, 224.0, 3.0],
        },
        "classes": {"description": cell([f"class {i}" for i in range(7)])},
    }
    variables = {"layers": cell(stored or matconvnet_layers(architecture)), "meta": meta}
    with path.open("wb") as file:
        scipy.io.savemat(file, variables, do_compression=compressed)


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
    "MMdnn's .npy": ("npy", "MMdnn", mmdnn),
    ".npz": ("npy", "Frossard", numpy_archive),
    "compressed .npz": ("npy", "Frossard", functools.partial(numpy_archive, save=np.savez_compressed)),
    "Keras with Caffe's names": ("Keras HDF5", "Keras, Caffe's names", keras_with_caffes_names),
    "Keras 1": ("Keras HDF5", "Keras 1, Theano", keras_1),
    "torch zip": ("torch zip", "torchvision", golden("torchvision.pth")),
    "torch legacy": ("torch legacy", "torchvision", golden("torchvision-legacy.pth")),
    "timm .safetensors": ("safetensors", "timm", golden("timm.safetensors")),
    ".caffemodel": ("caffemodel", "Caffe", caffe_model),
    "old .caffemodel": ("caffemodel", "Caffe", old_caffe_model),
    ".mat": ("mat", "MatConvNet", matconvnet),
    "uncompressed .mat": ("mat", "MatConvNet", uncompressed_matconvnet),
    ".onnx": ("onnx", "ONNX model zoo", golden("torch.onnx")),
}
