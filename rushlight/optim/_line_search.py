"""Owns the search along a line for a point that meets the strong Wolfe conditions.

May import only the standard library; points and directions are opaque here.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A place on the line: how far, the loss, the gradient, and the slope along the line."""

    t: float
    f: float
    g: Any
    slope: float


def cubic_minimum(a: Point, b: Point, bounds=None) -> float:
    """Where the cubic through two points with their slopes is lowest, within the bounds (the points themselves)."""
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    if a.t == b.t:
        return (low + high) / 2.0
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    left, right = (a, b) if a.t <= b.t else (b, a)
    d2 = math.sqrt(square)
    above, below = right.slope + d2 - d1, right.slope - left.slope + 2 * d2
    if below == 0:  # a straight line, which has its minimum at one end
        return high if above < 0 else low if above > 0 else (low + high) / 2.0
    found = right.t - (right.t - left.t) * (above / below)
    return min(max(found, low), high)


def strong_wolfe(evaluate, start: Point, t: float, d_norm: float, tolerance: float, tries: int, c1=1e-4, c2=0.9):
    """Nocedal and Wright (2006), algorithms 3.5 and 3.6: find a bracket, then narrow it.

    Args:
        evaluate: gives the point at a distance.
        start: the point at distance 0.
        t: the first distance to try.
        d_norm: the largest element of the direction.
        tolerance: the smallest width of the bracket.
        tries: how many evaluations to allow after the first.

    Returns:
        tuple: the point, and how often ``evaluate`` was called.
    """

    def too_high(point):
        return point.f > start.f + c1 * point.t * start.slope

    def flat(point):
        return abs(point.slope) <= -c2 * start.slope

    previous, new, count, done, bracket = start, evaluate(t), 0, False, None
    while count < tries:
        if too_high(new) or (count > 1 and new.f >= previous.f):
            bracket = [previous, new]
        elif flat(new):
            bracket, done = [new], True
        elif new.slope >= 0:
            bracket = [previous, new]
        if bracket is not None:
            break
        bounds = new.t + 0.01 * (new.t - previous.t), new.t * 10
        previous, new = new, evaluate(cubic_minimum(previous, new, bounds))
        count += 1
    if count == tries or bracket is None:
        bracket = [start, new]
    low, high = (0, 1) if bracket[0].f <= bracket[-1].f else (1, 0)
    stuck = False
    while not done and count < tries:
        left, right = sorted((bracket[0].t, bracket[1].t))
        if (right - left) * d_norm < tolerance:
            break
        t = cubic_minimum(bracket[0], bracket[1])
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            # Too close to an end: allow it once, then move away from it.
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new = evaluate(t)
        count += 1
        if too_high(new) or new.f >= bracket[low].f:
            bracket[high] = new
            low, high = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
        else:
            if flat(new):
                done = True
            elif new.slope * (bracket[high].t - bracket[low].t) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = new
    return bracket[low], count + 1
