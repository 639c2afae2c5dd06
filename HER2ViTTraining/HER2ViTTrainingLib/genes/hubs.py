"""The network of protein interactions and its hub genes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

from .gene_sets import Interactions

HUB_COLUMNS = ("gene", "mcc", "degree", "rank")

TOP_HUBS = 10
MAX_CLIQUES = 1_000_000
"""Maximal cliques that are counted: their number can grow exponentially with the network (3^(n/3), Moon &
Moser 1965).
"""


@dataclass(frozen=True)
class Network:
    """The interactions among the DEGs. `rows` of hubs.csv by rank; `cliques` maximal cliques were counted,
    all there are when `complete`.
    """

    graph: nx.Graph
    rows: tuple[Mapping[str, Any], ...]
    cliques: int
    complete: bool

    @property
    def hubs(self) -> tuple[str, ...]:
        """The ten genes (or fewer) with the highest MCC; genes without interaction are none."""
        return tuple(row["gene"] for row in self.rows[:TOP_HUBS] if row["degree"])


def network(degs: Collection[str], interactions: Interactions, max_cliques: int = MAX_CLIQUES) -> Network:
    """The network of the DEGs that the edge list names, ranked by Maximal Clique Centrality.

    Equal MCC is an equal rank (1, 2, 2, 4); within it genes are listed by degree, then by name, which also
    settles who is among the ten.
    """
    graph = nx.Graph()
    graph.add_nodes_from(sorted(set(degs) & set(interactions.graph)))
    edges = interactions.graph.subgraph(graph.nodes).edges
    graph.add_edges_from(sorted(tuple(sorted(edge)) for edge in edges))
    centrality = maximal_clique_centrality(graph, max_cliques)
    ordered = sorted(graph, key=lambda gene: (-centrality.mcc[gene], -graph.degree[gene], gene))
    rank_of: dict[int, int] = {}
    rows = []
    for place, gene in enumerate(ordered, start=1):
        mcc = centrality.mcc[gene]
        rank = rank_of.setdefault(mcc, place)
        rows.append({"gene": gene, "mcc": mcc, "degree": graph.degree[gene], "rank": rank})
    return Network(graph, tuple(rows), centrality.cliques, centrality.complete)


@dataclass(frozen=True)
class Centrality:
    """Maximal Clique Centrality (MCC) of every node, from `cliques` maximal cliques; `complete` when those
    are all there are.
    """

    mcc: Mapping[str, int]
    cliques: int
    complete: bool


def maximal_clique_centrality(graph: nx.Graph, max_cliques: int = MAX_CLIQUES) -> Centrality:
    """MCC of every node (cytoHubba: Chin et al., BMC Systems Biology 2014;8(Suppl 4):S11), exact however
    large.

    MCC(v) sums (|C| - 1)! over the maximal cliques C that hold v: the degree where no two neighbours touch.
    An isolated node has 0. After `max_cliques` the count ends and the values are lower bounds; always the
    same, for the same graph.
    """
    nodes = sorted(graph)
    # Numbers, not names: the order of a set of strings, and with it where the count ends, changes from
    # process to process.
    numbered = nx.Graph()
    numbered.add_nodes_from(range(len(nodes)))
    number = {node: n for n, node in enumerate(nodes)}
    numbered.add_edges_from(sorted((number[first], number[second]) for first, second in graph.edges))
    sums = [0] * len(nodes)
    counted = 0
    cliques = nx.find_cliques(numbered)
    for clique in itertools.islice(cliques, max_cliques):
        counted += 1
        if len(clique) > 1:
            weight = math.factorial(len(clique) - 1)
            for node in clique:
                sums[node] += weight
    complete = counted < max_cliques or next(cliques, None) is None
    return Centrality(dict(zip(nodes, sums)), counted, complete)
