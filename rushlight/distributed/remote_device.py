"""Owns the form in which programs name a device of a worker: ``worker0/cpu``, ``rank:0/cuda:1``, ``cpu``.

May import the devices and _errors.
"""

from __future__ import annotations

from typing import Any

from .. import _device as devices
from .._errors import missing_name


class _remote_device:
    """A device of a worker.

    Args:
        remote_device: ``<worker>/<device>``, ``rank:<number>/<device>`` or ``<device>``; the device may be left out.

    Raises:
        ValueError: another form.
        TypeError: neither text nor a device.
    """

    def __init__(self, remote_device: Any):
        self._worker_name: str | None = None
        self._rank: int | None = None
        if isinstance(remote_device, devices.device):
            self._device = remote_device
            return
        if not isinstance(remote_device, str):
            raise TypeError(f"Invalid type for remote_device: {type(remote_device)}")
        wrong = ValueError(
            f"Could not parse remote_device: {remote_device}. The valid format is '<workername>/<device>' or "
            "'rank:<rank>/<device>' or '<device>'"
        )
        worker, slash, place = remote_device.partition("/")
        if "/" in place or (slash and not worker):
            raise wrong
        if not slash:
            try:
                self._device = devices.device(worker)
                return
            except RuntimeError:
                place = "cpu"
        self._device = devices.device(place)
        kind, colon, number = worker.partition(":")
        if not colon:
            self._worker_name = worker
        elif kind == "rank" and number.isdigit():
            self._rank = int(number)
        else:
            raise wrong

    def worker_name(self) -> str | None:
        """The worker's name, if that was given."""
        return self._worker_name

    def rank(self) -> int | None:
        """The worker's number, if that was given."""
        return self._rank

    def device(self) -> devices.device:
        """The device."""
        return self._device

    def _key(self) -> tuple:
        return self._worker_name, self._rank, self._device

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _remote_device) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        worker = self._worker_name if self._rank is None else f"rank:{self._rank}"
        return str(self._device) if worker is None else f"{worker}/{self._device}"


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__: list[str] = []
