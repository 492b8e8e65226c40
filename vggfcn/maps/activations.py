"""What a network's last numbers mean: logits of a softmax, logits of sigmoids, or values that are no probabilities."""

from collections.abc import Sequence

import numpy as np

# Logits whose softmax over all classes gives the probabilities, which sum to 1.
SOFTMAX = "softmax"
# Logits whose sigmoids give a probability of each class on its own.
SIGMOID = "sigmoid"
# Values that are no probabilities, such as those of a regression.
NONE = "none"
ACTIVATIONS = (SOFTMAX, SIGMOID, NONE)


def log_probabilities(logits: np.ndarray, activation: str = SOFTMAX) -> np.ndarray:
    """The logarithm of each class's probability, float64 (..., classes), for logits (..., classes).

    It is precise even where probabilities round to 1. Raises `ValueError` if the values are no probabilities.
    """
    if activation == SOFTMAX:
        return _log_softmax(logits)
    check_probabilities(activation)
    return -np.logaddexp(0, -logits.astype(np.float64))


def log_probability(logits: np.ndarray, members: Sequence[int] | np.ndarray, activation: str = SOFTMAX) -> np.ndarray:
    """The logarithm of the probability of a group of classes, float64 (...), for logits (..., classes).

    Under a softmax the classes exclude each other, so it is the log-sum-exp of their log-probabilities, computed from
    their odds against all other classes: it differs between cells even where the probabilities all round to 1.
    Sigmoids say nothing of how classes occur together, so it is the largest of the members'.

    Raises `ValueError` if the values are no probabilities.
    """
    if activation == SOFTMAX and len(members) > 1:
        logits = logits.astype(np.float64)
        inside = np.logaddexp.reduce(logits[..., members], -1)
        outside = np.logaddexp.reduce(np.delete(logits, members, -1), -1)
        return -np.logaddexp(0, outside - inside)
    if activation == SOFTMAX:
        return log_probabilities(logits)[..., members[0]]
    return log_probabilities(logits[..., members], activation).max(-1)


def logits_of(probabilities: np.ndarray, activation: str = SOFTMAX) -> np.ndarray:
    """Logits that give these probabilities, float64 (..., classes); probabilities of 0 and 1 give finite ones."""
    tiny = np.finfo(np.float64).tiny
    likely = np.log(np.maximum(probabilities.astype(np.float64), tiny))
    return likely if activation == SOFTMAX else likely - np.log(np.maximum(1 - probabilities.astype(np.float64), tiny))


def check_probabilities(activation: str) -> None:
    """Raise `ValueError` if values with this activation are no probabilities."""
    if activation == NONE:
        raise ValueError(
            "the network ends in no softmax and no sigmoid, so its values are no probabilities; if they are logits, "
            'say so with activation="softmax" or activation="sigmoid"'
        )


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True).astype(np.float64)
    others = np.exp(shifted)
    np.put_along_axis(others, logits.argmax(-1)[..., None], 0, -1)
    return shifted - np.log1p(others.sum(-1, keepdims=True))
