"""Counts of objects around a place: whether every cell is kept or only those with objects, they are the same."""

import numpy as np
from astrolens.local_catalogues.cells import keys_of
from astrolens.local_catalogues.density import DENSITY_TYPE, DensityCounts, crowding, first_cell


def test_a_sparse_table_counts_as_the_dense_one() -> None:
    rng = np.random.default_rng(5)
    # A cluster, and some objects far from it: most cells are empty.
    ra = np.concatenate([rng.normal(120.0, 1.0, 400), rng.uniform(0.0, 360.0, 40)])
    dec = np.concatenate([rng.normal(30.0, 1.0, 400), rng.uniform(-80.0, 80.0, 40)])
    counts = DensityCounts(6)
    counts.add(keys_of(ra % 360.0, dec), rng.uniform(0.0, 60.0, ra.size), rng.uniform(0.0, 30.0, ra.size))
    sparse = counts.table()
    assert "cell" in (sparse.dtype.names or ())
    dense = np.zeros(first_cell(7), dtype=DENSITY_TYPE)
    for name in DENSITY_TYPE.names or ():
        dense[name][sparse["cell"]] = sparse[name]
    assert sparse.nbytes < dense.nbytes / 10
    assert dense["objects"][first_cell(0) : first_cell(1)].sum() == ra.size
    asked = keys_of(rng.uniform(0.0, 360.0, 300), rng.uniform(-90.0, 90.0, 300))
    asked = np.concatenate([asked, keys_of(ra[:50] % 360.0, dec[:50])])
    one, other = (crowding(table, 6, asked, np.full(asked.size, 5.0)) for table in (sparse, dense))
    assert np.array_equal(one.covered, other.covered)
    assert np.array_equal(one.objects, other.objects)


def test_a_crowded_catalogue_keeps_every_cell() -> None:
    rng = np.random.default_rng(6)
    counts = DensityCounts(2)
    counts.add(
        keys_of(rng.uniform(0.0, 360.0, 5000), np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, 5000)))),
        np.zeros(5000),
        np.zeros(5000),
    )
    assert counts.table().dtype == DENSITY_TYPE


def test_an_empty_table_counts_nothing() -> None:
    table = DensityCounts(3).table()
    found = crowding(table, 3, keys_of(np.array([10.0]), np.array([20.0])), np.array([5.0]))
    assert (found.objects.tolist(), found.covered.tolist()) == ([0], [0.0])
