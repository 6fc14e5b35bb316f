"""A second process finds the compiled programs of the first."""

import os
import subprocess
import sys

PROGRAM = """
import jax, rushlight as torch
hits = []
jax.monitoring.register_event_listener(lambda name, **kw: hits.append(name) if "cache_hits" in name else None)
f = torch.compile(lambda x: (x * 2).cos().sum())
print(f(torch.ones(7)).item(), len(hits))
"""


def _run(cache, **more):
    env = {**os.environ, "XDG_CACHE_HOME": str(cache), **more}
    env.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True)
    value, hits = done.stdout.split()
    return float(value), int(hits)


def test_the_second_process_compiles_nothing_anew(tmp_path):
    first, none = _run(tmp_path)
    second, hits = _run(tmp_path)
    assert first == second and none == 0 and hits > 0


def test_it_can_be_switched_off_and_survives_a_folder_it_cannot_write(tmp_path):
    _run(tmp_path, RUSHLIGHT_NO_TUNING="1")
    assert not (tmp_path / "rushlight").exists()
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    _run(blocked)


def test_programs_are_kept_by_number_of_processors(monkeypatch):
    """XLA cuts a program up for as many threads as there are: one made on one core runs on one core for ever."""
    from rushlight import config

    names = set()
    for cores in ({0}, {0, 1}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: cores, raising=False)
        names.add(config._machine())
    assert len(names) == 2
