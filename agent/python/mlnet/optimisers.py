"""What a parameter server does with gradients. Any object with an ``update`` will do, and so will an optimiser of PyTorch."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Optimiser(Protocol):
    """Applies gradients to parameters."""

    def update(self, key: str, values: Array, gradient: Array) -> None:
        """Applies one gradient.

        :param key: the parameter's name.
        :param values: its values, to be changed in place.
        :param gradient: of the same shape and type; may be overwritten, but not kept.
        """


class SGD:
    """Stochastic gradient descent, with momentum and weight decay as PyTorch's ``torch.optim.SGD`` has them.

    :param lr: learning rate; may be changed between rounds.
    :param momentum: 0 for none.
    :param weight_decay: 0 for none.
    """

    def __init__(self, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self._velocities: dict[str, Array] = {}

    def update(self, key: str, values: Array, gradient: Array) -> None:
        if self.weight_decay != 0:
            gradient += self.weight_decay * values
        if self.momentum != 0:
            velocity = self._velocities.get(key)
            if velocity is None:
                velocity = self._velocities[key] = gradient.copy()
            else:
                velocity *= self.momentum
                velocity += gradient
            gradient = velocity
        values -= self.lr * gradient


class Adam:
    """Adam (Kingma and Ba, ICLR 2015), with bias correction.

    :param lr: learning rate; may be changed between rounds.
    :param betas: decay of the means of gradients and of their squares.
    :param eps: added to the divisor.
    """

    def __init__(self, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        self.lr = lr
        self.betas = betas
        self.eps = eps
        self._moments: dict[str, tuple[int, Array, Array]] = {}

    def update(self, key: str, values: Array, gradient: Array) -> None:
        first, second = self.betas
        step, mean, square = self._moments.get(key) or (0, np.zeros_like(values), np.zeros_like(values))
        step += 1
        mean *= first
        mean += (1 - first) * gradient
        square *= second
        square += (1 - second) * gradient * gradient
        self._moments[key] = (step, mean, square)
        values -= self.lr * (mean / (1 - first**step)) / (np.sqrt(square / (1 - second**step)) + self.eps)
