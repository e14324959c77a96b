"""Small recordings in the true formats of the public event sets, for tonic's own readers."""

from pathlib import Path

import numpy as np

Events = dict[str, np.ndarray]
STREAM = (
    '<attr key="typeIdentifier">EVTS</attr><node name="info"><attr key="sizeX">128</attr><attr key="sizeY">128</attr></node>'
)


def events(rng: np.random.Generator, count: int, sensor: tuple[int, int], last: int) -> Events:
    """`count` random events in order of time, in microseconds up to `last`."""
    width, height = sensor
    return {
        "x": rng.integers(0, width, count), "y": rng.integers(0, height, count),
        "p": rng.integers(0, 2, count), "t": np.sort(rng.integers(0, last + 1, count)),
    }  # fmt: skip


def write_bin(path: Path, one: Events) -> None:
    """N-MNIST and N-Caltech101: five bytes an event, x, y, then one bit of polarity and 23 of time."""
    t = one["t"]
    columns = (one["x"], one["y"], one["p"] << 7 | t >> 16, t >> 8 & 255, t & 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.stack(columns, 1).astype(np.uint8).tobytes())


def write_npy(path: Path, one: Events) -> None:
    """tonic's DVS Gesture: x, y, polarity and milliseconds in a row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.stack([one["x"], one["y"], one["p"], one["t"] // 1000], 1).astype(np.float64))


def write_h5(path: Path, recordings: list[Events], labels: list[int]) -> None:
    """SHD: for each recording its times (float16, in seconds) and units."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, kind, values in (
            ("spikes/times", np.float16, [(one["t"] / 1e6).astype(np.float16) for one in recordings]),
            ("spikes/units", np.int32, [one["x"].astype(np.int32) for one in recordings]),
        ):
            rows = file.create_dataset(name, (len(values),), h5py.vlen_dtype(np.dtype(kind)))
            for i, row in enumerate(values):
                rows[i] = row
        file["labels"] = np.asarray(labels, dtype=np.uint16)
        file["extra/keys"] = np.asarray([b"zero", b"one", b"two"])
        file["extra/speaker"] = np.zeros(len(labels), dtype=np.uint16)


def write_aedat4(path: Path, one: Events, packet: int = 100) -> None:
    """CIFAR10-DVS: AEDAT 4, uncompressed; a header and packets of events, all of them flatbuffers."""
    import flatbuffers

    header = flatbuffers.Builder()
    description = header.CreateString(f'<dv version="2.0"><node name="outInfo"><node name="0">{STREAM}</node></node></dv>')
    header.StartObject(3)
    header.PrependUOffsetTRelativeSlot(2, description, 0)
    header.FinishSizePrefixed(header.EndObject(), b"IOHE")
    content = b"#!AER-DAT4.0\r\n" + bytes(header.Output())
    for start in range(0, len(one["t"]), packet):
        rows = range(start, min(start + packet, len(one["t"])))
        builder = flatbuffers.Builder()
        builder.StartVector(16, len(rows), 8)
        for i in reversed(rows):  # flatbuffers are written from their end
            builder.Prep(8, 16)
            builder.Pad(3)
            builder.PrependBool(bool(one["p"][i]))
            builder.PrependInt16(int(one["y"][i]))
            builder.PrependInt16(int(one["x"][i]))
            builder.PrependInt64(int(one["t"][i]))
        elements = builder.EndVector()
        builder.StartObject(1)
        builder.PrependUOffsetTRelativeSlot(0, elements, 0)
        builder.FinishSizePrefixed(builder.EndObject(), b"EVTS")
        packed = bytes(builder.Output())
        content += np.asarray([0, len(packed)], dtype="<u4").tobytes() + packed
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
