import numpy as np
import pytest

from pseudohealthy.phantom.anatomy import CSF_SIGNAL
from pseudohealthy.phantom.fields import Frame
from pseudohealthy.phantom.scanner import Scanner

FRAME = Frame(4.0)


def test_background_is_0_and_brain_above_0() -> None:
    brain = np.zeros(FRAME.shape, bool)
    brain[10:30, 10:40, 10:30] = True
    image = Scanner.drawn(np.random.default_rng(0), FRAME).image(np.zeros(FRAME.shape, np.float32), brain)
    assert image.dtype == np.int16
    assert not image[~brain].any()
    assert (image[brain] >= 1).all()


def test_a_local_change_of_signal_stays_local() -> None:
    rng = np.random.default_rng(1)
    brain = np.ones(FRAME.shape, bool)
    signal = rng.random(FRAME.shape, dtype=np.float32) + 1
    changed = signal.copy()
    changed[20, 20, 20] += 3
    scanner = Scanner.drawn(rng, FRAME)
    differs = scanner.image(signal, brain) != scanner.image(changed, brain)
    assert differs[20, 20, 20]
    differs[19:22, 19:22, 19:22] = False
    assert not differs.any()


def test_noise_is_rician() -> None:
    # Second moment of a Rician variable: signal squared + 2 sigma squared.
    sigma, level = 0.3, 0.5
    noise = sigma * np.random.default_rng(3).standard_normal((2, *FRAME.shape), dtype=np.float32)
    scanner = Scanner(np.full(FRAME.shape, 10000, np.float32), 0.2, noise)
    image = scanner.image(np.full(FRAME.shape, level, np.float32), np.ones(FRAME.shape, bool))
    second_moment = ((image / 10000.0) ** 2).mean()
    assert second_moment == pytest.approx(level**2 + 2 * sigma**2, rel=0.01)


def test_edge_of_the_brain_blurs_into_fluid_not_into_nothing() -> None:
    brain = np.zeros(FRAME.shape, bool)
    brain[10:30] = True
    noise = np.zeros((2, *FRAME.shape), np.float32)
    scanner = Scanner(np.full(FRAME.shape, 1000, np.float32), 1.0, noise)
    edge = scanner.image(brain.astype(np.float32), brain)[10]
    assert (edge > 1000 * (1 + CSF_SIGNAL) / 2).all()


def test_units_differ_between_scanners() -> None:
    gains = [float(np.median(Scanner.drawn(np.random.default_rng(i), FRAME).gain)) for i in range(20)]
    assert min(gains) > 150
    assert max(gains) < 700
    assert max(gains) / min(gains) > 1.5
