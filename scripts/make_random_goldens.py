"""Writes tests/golden/random_stream.npz: what torch's CPU generator draws, for machines without torch.

Needs torch 2.13 on an x86-64 processor that is not Intel's: on those torch draws masks with another library's stream.
Every case starts from each seed and draws each size in turn; kept are the bytes drawn and a checksum of the state
after every draw.
"""

import pathlib
import zlib

import numpy as np
import torch

TARGET = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "random_stream.npz"
SEEDS = (0, 1, 67280421310721)
SIZES = (1, 7, 15, 16, 17, 31, 100)
LARGE_SIZES = (1000, 10007, 100003)  # checksums only


def empty(n, dtype=torch.float32):
    return torch.empty(n, dtype=dtype)


def weights(n, dtype=torch.float32):
    return (torch.arange(n) % 7).to(dtype) + 1


CASES = {
    "uniform float32": lambda n, g: empty(n).uniform_(generator=g),
    "uniform float32 symmetric": lambda n, g: empty(n).uniform_(-0.3, 0.3, generator=g),
    "uniform float64": lambda n, g: empty(n, torch.float64).uniform_(-0.3, 0.7, generator=g),
    "uniform float16": lambda n, g: empty(n, torch.float16).uniform_(generator=g),
    "uniform bfloat16": lambda n, g: empty(n, torch.bfloat16).uniform_(-1, 1, generator=g),
    "normal float32": lambda n, g: empty(n).normal_(generator=g),
    "normal float32 scaled": lambda n, g: empty(n).normal_(1.5, 0.02, generator=g),
    "normal float64": lambda n, g: empty(n, torch.float64).normal_(generator=g),
    "normal float16": lambda n, g: empty(n, torch.float16).normal_(generator=g),
    "normal bfloat16": lambda n, g: empty(n, torch.bfloat16).normal_(generator=g),
    "normal strided": lambda n, g: empty(2 * n)[::2].normal_(generator=g).clone(),
    "log_normal": lambda n, g: empty(n).log_normal_(generator=g),
    "exponential": lambda n, g: empty(n).exponential_(0.7, generator=g),
    "cauchy": lambda n, g: empty(n).cauchy_(0.5, 2, generator=g),
    "geometric": lambda n, g: empty(n).geometric_(0.3, generator=g),
    "bernoulli": lambda n, g: empty(n).bernoulli_(1 - 0.1, generator=g),
    "bernoulli array": lambda n, g: torch.bernoulli(weights(n) / 8, generator=g),
    "randint": lambda n, g: torch.randint(-3, 11, (n,), generator=g),
    "randint wide": lambda n, g: torch.randint(0, 2**40 + 1, (n,), generator=g),
    "random int32": lambda n, g: empty(n, torch.int32).random_(generator=g),
    "random int64": lambda n, g: empty(n, torch.int64).random_(generator=g),
    "random uint8": lambda n, g: empty(n, torch.uint8).random_(generator=g),
    "random bfloat16": lambda n, g: empty(n, torch.bfloat16).random_(generator=g),
    "randperm": lambda n, g: torch.randperm(n, generator=g),
    "multinomial": lambda n, g: torch.multinomial(weights(n), (n + 2) // 3, generator=g),
    "multinomial replacement": lambda n, g: torch.multinomial(weights(n), 5, True, generator=g),
    "poisson": lambda n, g: torch.poisson(4 * weights(n), generator=g),
    "gamma": lambda n, g: torch._standard_gamma(weights(n) / 2, generator=g),
    "binomial": lambda n, g: torch.binomial(10 * weights(n), weights(n) / 8, generator=g),
}
LARGE = [name for name in CASES if name.startswith(("uniform", "normal", "random", "randint", "randperm", "bernoulli"))]


def data(tensor):
    flat = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.reshape(-1))
    return flat.view(torch.uint8).numpy()


def checksum(array):
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def main():
    found = {"seeds": np.array(SEEDS, np.uint64), "sizes": np.array(SIZES), "large_sizes": np.array(LARGE_SIZES)}
    for name, draw in CASES.items():
        for seed in SEEDS:
            generator = torch.Generator().manual_seed(seed)
            drawn, states, large = [], [], []
            for n in SIZES:
                drawn.append(data(draw(n, generator)))
                states.append(checksum(generator.get_state().numpy()))
            for n in LARGE_SIZES if name in LARGE else ():
                large.append(checksum(data(draw(n, generator))))
                states.append(checksum(generator.get_state().numpy()))
            found[f"{name}/{seed}/drawn"] = np.concatenate(drawn)
            found[f"{name}/{seed}/states"] = np.array(states, np.uint32)
            found[f"{name}/{seed}/large"] = np.array(large, np.uint32)
    found["names"] = np.array(list(CASES))
    np.savez_compressed(TARGET, **found)
    print(f"{TARGET.name}: {len(CASES)} cases, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
