"""One way of running full-size VGG16, fully convolutional, in a process of its own that is told what to run.

`python ways.py WAY WEIGHTS` takes a JSON object a line on stdin and answers with one a line on stdout: first its
start-up, the seconds of imports, building and making ready; then for each `{"side": 512}` the seconds that an image of
512 x 512 takes, with `"save"` its logits as `.npy`; for `{"crops": 52, "at_once": 1}` the seconds of so many crops of
224 x 224; for `{"memory": true}` the most bytes it has held. WEIGHTS is a file in the published layout, beside which
`arrays.npz` has the same arrays for those who cannot read that.
"""

import json
import os
import pathlib
import sys
import time

import numpy as np

WINDOW = 224
BLOCK_ROWS = 128


def image(side: int) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (1, side, side, 3)).astype(np.float32)


class Way:
    """`imports` imports, `build` builds the network, `ready` makes it a function: (1, H, W, 3) -> logits."""

    def imports(self):
        import tensorflow as tf

        import vggfcn  # noqa: F401

        tf.constant(0.0)

    def build(self, weights):
        import vggfcn

        return vggfcn.build(weights=weights)

    def ready(self, model):
        raise NotImplementedError


class Predict(Way):
    def ready(self, model):
        return lambda batch: model.predict(batch, verbose=0)


class Crops(Way):
    """Keras's own VGG16 with its dense layers, which takes crops alone."""

    def build(self, weights):
        import keras

        return keras.applications.VGG16(weights=weights)

    def ready(self, model):
        return lambda batch: model.predict(batch, batch_size=len(batch), verbose=0)


class Function(Way):
    def __init__(self, xla):
        self.xla = xla

    def ready(self, model):
        import tensorflow as tf

        run = tf.function(lambda batch: model(batch, training=False), jit_compile=self.xla, reduce_retracing=False)
        return lambda batch: run(batch).numpy()


class Ours(Way):
    def __init__(self, engine):
        self.engine = engine

    def imports(self):
        super().imports()
        if self.engine == "openvino":
            from vggfcn.loading import load_library

            load_library("openvino")

    def ready(self, model):
        from vggfcn.engines.engine import compile as compiled

        return compiled(model, self.engine)


class Streamed(Ours):
    def ready(self, model):
        from vggfcn.streaming.stream import Stream

        streams = {}

        def run(batch):
            size = batch.shape[1:3]
            if size not in streams:
                streams[size] = Stream(model, size, BLOCK_ROWS, engine=self.engine)
            parts = streams[size].run(lambda start, stop: batch[0, start:stop])
            return np.concatenate([rows for _, rows in parts])[None]

        return run


class OpenVINO(Way):
    def imports(self):
        super().imports()
        import openvino  # noqa: F401

    def ready(self, model):
        """Compiled anew for each size, as its makers advise."""
        import openvino

        network = openvino.convert_model(model)
        configuration = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        compiled = {}

        def run(batch):
            if batch.shape not in compiled:
                compiled.clear()
                network.reshape(list(batch.shape))
                compiled[batch.shape] = openvino.Core().compile_model(network, "CPU", configuration)
            return compiled[batch.shape](batch)[0]

        return run


WAYS = {
    "crops": Crops(),
    "model.predict": Predict(),
    "tf.function": Function(xla=False),
    "tf.function, XLA": Function(xla=True),
    "vggfcn, TensorFlow": Ours("tensorflow"),
    "vggfcn, OpenVINO": Ours("openvino"),
    "vggfcn, TensorFlow, streamed": Streamed("tensorflow"),
    "vggfcn, OpenVINO, streamed": Streamed("openvino"),
    "OpenVINO by hand": OpenVINO(),
}


def peak() -> int:
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024


def serve(way: Way, weights: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What libraries print is no answer.

    def answer(**values) -> None:
        print(json.dumps(values), file=answers, flush=True)

    clock = [time.perf_counter()]
    way.imports()
    clock.append(time.perf_counter())
    network = way.build(weights)
    clock.append(time.perf_counter())
    run = way.ready(network)
    clock.append(time.perf_counter())
    answer(imports=clock[1] - clock[0], build=clock[2] - clock[1], ready=clock[3] - clock[2])
    for line in sys.stdin:
        wanted = json.loads(line)
        if "memory" in wanted:
            answer(bytes=peak())
            continue
        if "crops" in wanted:
            at_once = wanted["at_once"]
            given = np.concatenate([image(WINDOW)] * at_once)
            calls = wanted["crops"] // at_once
        else:
            given, calls = image(wanted["side"]), 1
        start = time.perf_counter()
        for _ in range(calls):
            logits = run(given)
        seconds = time.perf_counter() - start
        if "save" in wanted:
            np.save(wanted["save"], logits)
        answer(seconds=seconds)


if __name__ == "__main__":
    name, weights = sys.argv[1:]
    if name not in WAYS:
        from peers import PEERS as WAYS  # In an environment without TensorFlow.
    serve(WAYS[name], weights)
