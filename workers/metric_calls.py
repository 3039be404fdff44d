"""``uwsgi.metric_*``: what applications do with metrics (spec/observability.md section 2).

What fails returns None, as in uWSGI: there is no such metric, or it cannot be divided by 0.
"""

from __future__ import annotations

import operator

from uwgate.conf.arithmetic import MAXIMUM, MINIMUM
from uwgate.conf.metric_file import Metrics

Done = bool | None  # never False


class MetricCalls:
    """A part of the module ``uwsgi``. Without metrics every change fails, as in uWSGI."""

    metrics = Metrics()

    def metric_get(self, name: str, /) -> int:
        """The value of a metric; 0 if there is none of that name."""
        return self.metrics.get(name) or 0

    def metric_set(self, name: str, value: int = 1, /) -> Done:
        """Give a metric a value.

        Raises:
            OverflowError: it has more than 64 bits.
        """
        return self._change(name, "set", value)

    def metric_inc(self, name: str, value: int = 1, /) -> Done:
        """Add to a metric. Raises as ``metric_set``."""
        return self._change(name, "inc", value)

    def metric_dec(self, name: str, value: int = 1, /) -> Done:
        """Subtract from a metric. Raises as ``metric_set``."""
        return self._change(name, "dec", value)

    def metric_mul(self, name: str, value: int = 1, /) -> Done:
        """Multiply a metric. Raises as ``metric_set``."""
        return self._change(name, "mul", value)

    def metric_div(self, name: str, value: int = 1, /) -> Done:
        """Divide a metric, rounding towards 0. Raises as ``metric_set``."""
        return self._change(name, "div", value)

    def metric_set_max(self, name: str, value: int = 1, /) -> Done:
        """Give a metric a value that is larger than its own. Raises as ``metric_set``."""
        return self._change(name, "set_max", value)

    def metric_set_min(self, name: str, value: int = 1, /) -> Done:
        """Give a metric a value that is smaller than its own. Raises as ``metric_set``.

        As in uWSGI nothing happens unless the value is larger than the metric's first one.
        """
        if self.metrics.get(name) is not None and value <= self.metrics.initial(name):
            return True
        return self._change(name, "set_min", value)

    def _change(self, name: str, operation: str, value: int) -> Done:
        if not isinstance(name, str):
            raise TypeError(f"expected the name of a metric as str, not {type(name).__name__}")
        number = operator.index(value)
        if not MINIMUM <= number <= MAXIMUM:
            raise OverflowError("a metric has 64 bits")
        return self.metrics.change(name, operation, number) or None
