"""Sums: how the native machine does a sum of products of numbers that are no rolled ones.

Pipeline: trace → differentiate → lift → program → **plan** → native; the part of plan that chooses among the kernels.

- A sum of products with factors to share is a product: one factor number by number, the other in vectors, which has to
  stand side by side or is copied so.
- One without is a dot of two windows, or lanes: a vector of sums at a time, with factors from anywhere.

The results stand in the order in which reading or writing costs the least.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np

from .arena import Array, Factor, Layout, as_factor, up, window
from .finish import NARROW, Finished, after

__all__ = ["MAPS", "Sums"]

MAPS: Final = {
    name: code
    for code, name in enumerate((
        "identity", "add", "sub", "mul", "div", "neg", "abs", "square", "reciprocal", "sqrt", "sign", "relu", "relu'0",
        "maximum", "minimum", "where", "exp", "scale", "pow -0.5", "pow 0.5", "pow'0 -1.0", "pow'0 -0.5", "pow'0 0.5",
        "shift",
    ))
}  # fmt: skip


class Sums(Layout):
    """A layout that knows sums of products."""

    def contract(self, out: int, u: Factor, v: Factor, signs: tuple[int, ...], last: Finished | None = None) -> None:
        """Σ_n signs[n] · u[b, r, n] · v[b, s, n] of numbers side by side or not, none of them rolled.

        Arguments:
            last: what is done with the results in the end, if it is a product.
        """
        (b, r, n), s = u.shape, v.shape[1]
        if b * r * s * n <= NARROW:
            self.tape.sums(out, b, r, s, u.places.ravel().tolist(), v.places.ravel().tolist(), signs)
            return
        if b > 1 and (r > 1) != (s > 1) and self.shared(out, *((u, v) if r > 1 else (v, u)), signs):
            return
        u, v, signs, order = self.sorted(u, v, signs)
        turning = b * r * s if not self.wanted_turned(out + order) else -b * r * s
        if self.cost(v, u) + turning < self.cost(u, v):
            u, v, r, s = v, u, s, r
            order = order.swapaxes(1, 2)
        sign = signs[0] if len(set(signs)) == 1 else 0
        left, right = u.strides, v.strides
        if (r > 1 and s > 1) or (sign and r == 1 and right and right[1] == 1 and s >= self.lanes // 2):
            made = last.order[order.ravel()] if last else order.ravel()
            self.reorder(out, made)
            code, beside = after(last)
            self.product(out, u, v, signs, y=code, w=self.copy(self.places(beside)[made]) if beside else 0)
            return
        if r == 1:
            u, v, r, left, right = v, u, s, right, left
        if 2 * b * r <= self.lanes <= n and not (sign and left and left[2] == 1):  # too few sums for a lane each
            u, sign = (
                (window(self.copy(u.places), u.shape, (r * n, n, 1)), sign) if sign else (self.signed(u, signs), 1)
            )
            left = u.strides
        if sign and n >= self.lanes and left and left[2] == 1:
            if not right or right[2] != 1:
                v = window(self.copy(v.places), v.shape, (n, n, 1))
            assert v.strides is not None  # noqa: S101 - a window
            self.reorder(out, order.ravel())
            self.step(
                "dot", out=out, outer=b, inner=r, n=n, u=u.offset, u_outer=left[0], u_inner=left[1], v=v.offset,
                v_outer=v.strides[0], sign=sign,
            )  # fmt: skip
            return
        one, other = u.places.reshape(b * r, n), np.broadcast_to(v.places, (b, r, n)).reshape(b * r, n)
        best = self.order_in_lanes(one, other)
        self.reorder(out, order.ravel()[best])
        if n > 1 or not sign or not self.times(out, one[best, 0], other[best, 0], sign):
            self.in_lanes(out, one[best], other[best], signs)

    def wanted_turned(self, places: Array) -> bool:
        """Whether the gradients have what is made for these places [b, r, s] in columns rather than in rows."""
        if places.shape[1] == 1 or places.shape[2] == 1:
            return False
        some = self.rank.take([places.item(0, 0, 0), places.item(0, 1, 0), places.item(0, 0, 1)])
        return bool(some[0] >= 0 and some[1] == some[0] + 1 and some[2] != some[0] + 1)

    def order_in_lanes(self, u: Array, v: Array) -> Array:
        """The order of sums [i, n] in which the fewest vectors are gathered, if that saves enough."""
        same = np.arange(len(u))
        if len(u) < self.lanes:
            return same
        size = (~self.fills(u, v)).sum(axis=1)
        some = [np.lexsort(keys) for keys in ([v[:, 0], u[:, 0]], [u[:, 0], v[:, 0]], [v[:, 0], u[:, 0], size])]
        strays = [self.strays(u[order]) + self.strays(v[order]) for order in (same, *some)]
        best = min(range(4), key=strays.__getitem__)
        return some[best - 1] if best and strays[best] + len(u) / self.lanes / 2 < strays[0] else same

    def sorted(self, u: Factor, v: Factor, signs: tuple[int, ...]) -> tuple[Factor, Factor, tuple[int, ...], Array]:
        """The same sums, each axis in an order that makes windows of the factors where there is one; and that order."""
        b, r, s = *u.shape[:2], v.shape[1]
        order = np.arange(b * r * s).reshape(b, r, s)
        ways = [(u, v, signs, order)]
        if not all(factor.strides and min(factor.strides) >= 0 for factor in (u, v)):
            left, right = u.places, v.places
            batch = np.lexsort([right[:, 0, 0], left[:, 0, 0]])
            rows, columns = np.argsort(left[0, :, 0], kind="stable"), np.argsort(right[0, :, 0], kind="stable")
            order = order[np.ix_(batch, rows, columns)]
            for terms in (np.argsort(left[0, 0], kind="stable"), np.argsort(right[0, 0], kind="stable")):
                one, other = left[np.ix_(batch, rows, terms)], right[np.ix_(batch, columns, terms)]
                turned = tuple([signs[k] for k in terms.tolist()])
                ways.append((as_factor(one), as_factor(other), turned, order))
        return min(ways, key=lambda way: min(self.cost(way[0], way[1]), self.cost(way[1], way[0])))

    def shared(self, out: int, u: Factor, v: Factor, signs: tuple[int, ...]) -> bool:
        """Σ_n u[b, r, n] · v[b, 0, n], if most of it is a product because u is the same for every b there."""
        left, right = u.places, v.places
        b, r, n = left.shape
        same = (left == left[:1]).all(axis=(0, 1))
        if 2 * int(same.sum()) < n:
            return False
        alike, others = np.flatnonzero(same), np.flatnonzero(~same)
        one, other = as_factor(right[:, 0, alike][None]), as_factor(left[:1, :, alike])
        self.product(out, one, other, tuple([signs[k] for k in alike.tolist()]))
        if len(others):
            flat = (b * r, len(others))
            rest = np.broadcast_to(right, left.shape)[:, :, others].reshape(flat)
            signs = tuple([signs[k] for k in others.tolist()])
            self.in_lanes(out, left[:, :, others].reshape(flat), rest, signs, more=True)
        return True

    def times(self, out: int, u: Array, v: Array, sign: int) -> bool:
        """Products number by number of two windows, or of one and a number; whether it is that."""
        for one, other in ((u, v), (v, u)):
            if how(one) == 0 and how(other) < 2:
                name = "mul" if how(other) == 0 else "scale"
                self.step("map", code=MAPS[name], out=out, u=one.item(0), v=other.item(0), count=len(u), sign=sign)
                return True
        return False

    def cost(self, u: Factor, v: Factor) -> float:
        """About how many cycles a product takes with v in vectors."""
        (b, r, n), s = u.shape, v.shape[1]
        left = 0 if u.strides else b * r * n
        right = 0 if v.strides and v.strides[1] == 1 else b * s * n
        if r == 1 and right and v.strides and v.strides[2] == 1 and n >= self.lanes:
            right, left = 0, 0 if u.strides and u.strides[2] == 1 else b * n  # a dot for each
            return left + b * s * (n / self.lanes + 8)
        return left + right + b * r * n * (0.5 * up(s, self.lanes) / self.lanes + (s < self.lanes))

    @property
    def tile(self) -> int:
        """How many columns a product takes at a time."""
        return self.lanes * (4 if self.lanes * self.dtype.itemsize == 64 else 2)

    def product(self, out: int, u: Factor, v: Factor, signs: tuple[int, ...], **after: int) -> None:
        """A batch of products of matrices."""
        (b, r, n), s = u.shape, v.shape[1]
        sign = signs[0]
        if len(set(signs)) > 1:
            u, sign = self.signed(u, signs), 1
        if u.strides is None:
            u = window(self.copy(u.places), u.shape, (r * n, n, 1))
        if v.strides and v.strides[1] == 1:
            right = {"v": v.offset, "v_outer": v.strides[0], "v_n": v.strides[2], "v_tile": self.tile}
        else:
            right = self.packed(v.places)
        assert u.strides is not None  # noqa: S101 - a window
        self.step(
            "product", out=out, outer=b, inner=1, rows=r, columns=s, n=n, out_outer=r * s, out_row=s, u=u.offset,
            u_outer=u.strides[0], u_row=u.strides[1], u_n=u.strides[2], sign=sign, v_next=self.lanes,
            out_next=self.lanes, **right, **after,
        )  # fmt: skip

    def packed(self, places: Array) -> dict[str, int]:
        """A factor [b, s, n] copied so that its columns stand side by side, in vectors, tile after tile."""
        b, s, n = places.shape
        wide = up(s, self.lanes)
        padded = np.concatenate([places, np.repeat(places[:, -1:], wide - s, axis=1)], axis=1)
        found = {"v_outer": n * wide, "code": 1, "v_tile": n * self.tile}
        if self.lanes > 1 and n >= self.lanes // 2 and not self.constant(places):
            steps = np.diff(places, axis=2) == 1
            steps[:, :, self.lanes - 1 :: self.lanes] = True
            if bool(steps.all()):
                return found | {"v": self.transpose(padded)}
        turned = padded.swapaxes(1, 2)
        tiles = [turned[:, :, k : k + self.tile].reshape(b, -1) for k in range(0, wide, self.tile)]
        return found | {"v": self.copy(np.concatenate(tiles, axis=1))}

    def transpose(self, places: Array) -> int:
        """The start of such a copy of columns [b, s, n] in which every vector of neighbours stands side by side."""
        key = self.key("transpose", places)
        if key in self.copies:
            return self.copies[key]
        lanes, (b, s, n) = self.lanes, places.shape
        # The last block of a column may be longer than the column: what it writes behind is written again.
        start = self.copies[key] = self.room(places.size + lanes * self.tile)
        k, i, j = (x.ravel() for x in np.ix_(np.arange(b), np.arange(0, s, lanes), np.arange(0, n, lanes)))
        k, i, j = (x.ravel() for x in np.broadcast_arrays(k[:, None, None], i[:, None], j))
        tile = i // self.tile * self.tile
        row = np.minimum(s - tile, self.tile)
        to = start + (k * s + tile) * n + j * row + (i - tile)
        columns = places[k[:, None], i[:, None] + np.arange(lanes), j[:, None]]
        table = np.concatenate([to[:, None], row[:, None], columns], axis=1)
        self.step("transpose", count=len(to), table=self.put(table))
        return start

    def signed(self, u: Factor, signs: tuple[int, ...]) -> Factor:
        """A factor times the signs."""
        places = u.places
        start, size = self.room(places.size), places.size
        right = self.room(size)
        self.constants.append((right, np.tile(np.array(signs, dtype=float), size // len(signs))))
        self.step("map", code=MAPS["mul"], out=start, u=self.copy(places), v=right, count=size, sign=1)
        b, r, n = places.shape
        return window(start, (b, r, n), (r * n, n, 1))

    def in_lanes(self, out: int, u: Array, v: Array, signs: tuple[int, ...], more: bool = False) -> None:
        """Sums [i, n] without factors to share, a vector of them at a time; `more` adds them to what is there."""
        count, lanes = len(u), self.lanes
        fill = -count % lanes
        if fill:
            u, v = (np.concatenate([x, np.repeat(x[-1:], fill, axis=0)]) for x in (u, v))
        u, v = (x.reshape(-1, lanes, x.shape[1]).swapaxes(1, 2) for x in (u, v))  # [vector, term, lane]
        keep = np.asarray(~self.fills(u, v).all(axis=2))
        left, right = how(u), how(v)
        swap = left > right
        kinds = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])[left, right]
        codes = 2 * kinds + (np.array(signs) < 0)
        u, v = np.where(swap[:, :, None], v, u), np.where(swap[:, :, None], u, v)
        codes[~keep] = -1
        kinds, which = np.unique(codes, axis=0, return_inverse=True)
        parts = [self.groups(row, np.flatnonzero(which.ravel() == i), u, v) for i, row in enumerate(kinds)]
        sizes = np.zeros(len(codes), dtype=np.int64)
        for vectors, entries in parts:
            sizes[vectors] = entries.shape[1]
        ends = np.cumsum(sizes)
        table = np.empty(ends[-1], dtype=np.int64)
        for vectors, entries in parts:
            table[(ends - sizes)[vectors, None] + np.arange(entries.shape[1])] = entries
        self.step("lanes", code=int(more), out=out, count=count, table=self.put(table))

    def groups(self, codes: Array, vectors: Array, u: Array, v: Array) -> tuple[Array, Array]:
        """These vectors, and what `native.h` reads for each of them: the terms by their codes, -1 being none."""
        groups: defaultdict[int, list[int]] = defaultdict(list)
        for k in np.flatnonzero(codes >= 0).tolist():
            groups[codes.item(k)].append(k)
        count = len(vectors)
        table = [np.full((count, 1), len(groups))]
        for code, terms in groups.items():
            a, b = u[vectors][:, terms], v[vectors][:, terms]
            if code >> 1 in (0, 1, 3):
                a, b = a[:, :, :1], b[:, :, :1]
            elif code >> 1 in (2, 4):
                a = a[:, :, :1]
            table += [np.tile([code, len(terms)], (count, 1)), np.concatenate([a, b], axis=2).reshape(count, -1)]
        return vectors, np.concatenate(table, axis=1)

    def strays(self, places: Array) -> int:
        """How many vectors of an operand [i, n] of sums are gathered from anywhere."""
        whole = places[: len(places) // self.lanes * self.lanes]
        return int((how(whole.reshape(-1, self.lanes, places.shape[1]).swapaxes(1, 2)) == 2).sum())

    def fills(self, u: Array, v: Array) -> Array:
        """Which terms are 0 · 1: they fill up shorter sums."""
        x, y = self.numbers(u), self.numbers(v)
        found: Array = ((x == 0.0) & (y == 1.0)) | ((y == 0.0) & (x == 1.0))
        return found


def how(places: Array) -> Array:
    """How each row of places stands: 0 side by side, 1 all the same, 2 anywhere."""
    if places.shape[-1] == 1:
        return np.zeros(places.shape[:-1], dtype=np.int64)
    steps = np.diff(places, axis=-1)
    return np.where((steps == 1).all(axis=-1), 0, np.where((steps == 0).all(axis=-1), 1, 2))
