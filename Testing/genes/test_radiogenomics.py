"""Radiogenomics: known fold changes, exact tests, brute-force hubs, real tumours, and the command as a user
runs it.
"""

import gzip
import hashlib
import json
import math
from collections import Counter
from fractions import Fraction
from itertools import combinations

import networkx as nx
import numpy as np
import pytest

from HER2ViTLib.files.output import RECORD_FILE
from HER2ViTLib.her2 import her2_status
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.genes import enrichment
from HER2ViTTrainingLib.genes.enrichment import ORA_COLUMNS, over_representation
from HER2ViTTrainingLib.genes.expression import (
    DESEQ2_COLUMNS,
    Thresholds,
    by_significance,
    differential_expression,
    differentially_expressed,
)
from HER2ViTTrainingLib.genes.files import read_counts, read_groups
from HER2ViTTrainingLib.genes.gene_sets import GeneSets, Interactions, read_gene_sets, read_interactions
from HER2ViTTrainingLib.genes.hubs import HUB_COLUMNS, maximal_clique_centrality, network
from HER2ViTTrainingLib.genes.results import RESULT_FILES
from HER2ViTTrainingLib.simulation.case_key import CaseKey
from HER2ViTTrainingLib.simulation.genes import GENE_LOG2_FOLD_CHANGES, draw_counts, genes
from HER2ViTTrainingLib.simulation.hidden import draw_hidden
from support.csv_files import rows_of

# A cohort with known answers


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Counts and groups of 12 HER2-low and 12 HER2-positive simulated tumours; the genes that change and 600
    that do not.
    """
    folder = tmp_path_factory.mktemp("genes")
    status = {index: draw_hidden(CaseKey("A", 3, index))[0] for index in range(120)}
    low = [index for index, of_case in status.items() if of_case == "low"][:12]
    positive = [index for index, of_case in status.items() if of_case == "positive"][:12]
    chosen = low + positive
    shown = len(GENE_LOG2_FOLD_CHANGES) + 600
    columns = [draw_counts(CaseKey("A", 3, index))[:shown] for index in chosen]
    lines = [",".join(["gene", *(f"case{index}" for index in chosen)])]
    lines += [",".join([gene, *map(str, counts)]) for gene, counts in zip(genes()[0], zip(*columns))]
    # Under a name that does not say so: compression is told by content.
    (folder / "counts.csv").write_bytes(
        gzip.compress(("\n".join([*lines, "UNREAD" + ",0" * len(chosen)]) + "\n").encode(), mtime=0)
    )
    write(folder / "few.csv", "\n".join(lines[:60]))
    write(
        folder / "groups.csv",
        "case_id,group\n" + "".join(f"case{index},{status[index]}\n" for index in chosen),
    )
    hubs = [gene for gene, change in GENE_LOG2_FOLD_CHANGES.items() if change == 1.4]
    sets = [
        ["IMMUNE", "http://none", *hubs],
        ["PROTEASOME", "", *(f"PSMA{n},1.0" for n in range(1, 8))],
        ["MAPK", "", "ERBB2", *(f"MAPK{n}" for n in range(1, 15))],
    ]
    write(folder / "sets.gmt", "".join("\t".join(words) + "\n" for words in sets))
    edges = [
        *combinations(hubs[:6], 2),
        ("ERBB2", "GRB7"),
        ("GRB7", "ERBB2"),
        ("ERBB2", "ERBB2"),
        ("SCUBE2", "MAPK1"),
    ]
    write(folder / "ppi.tsv", "a\tb\tscore\n" + "".join(f"{a}\t{b}\t900\n" for a, b in edges))
    return folder


@pytest.fixture(scope="module")
def result(cohort):
    """What the command writes for that cohort."""
    arguments = [
        "--groups",
        cohort / "groups.csv",
        "--gmt",
        cohort / "sets.gmt",
        "--ppi",
        cohort / "ppi.tsv",
        "--out",
        cohort / "out",
    ]
    assert main(list(map(str, ["genes", cohort / "counts.csv", *arguments]))) == 0
    return cohort / "out"


def test_the_command_finds_the_simulated_fold_changes_with_their_direction(result):
    rows = {row["gene"]: row for row in rows_of(result / "deseq2.csv")}
    errors = [
        (float(rows[gene]["log2FoldChange"]) - change) / float(rows[gene]["lfcSE"])
        for gene, change in GENE_LOG2_FOLD_CHANGES.items()
    ]
    assert abs(np.mean(errors)) < 0.5 and 0.6 < np.std(errors) < 1.5 and max(map(abs, errors)) < 4
    found = {
        gene
        for gene, row in rows.items()
        if row["padj"] and float(row["padj"]) < 0.05 and abs(float(row["log2FoldChange"])) > 1
    }
    assert {"ERBB2", "GRB7", "SCUBE2", "S100A9"} <= found
    assert len(found & GENE_LOG2_FOLD_CHANGES.keys()) > 0.5 * len(GENE_LOG2_FOLD_CHANGES)
    assert len(found - GENE_LOG2_FOLD_CHANGES.keys()) <= 0.1 * len(found)
    assert rows["UNREAD"] == dict(zip(DESEQ2_COLUMNS, ("UNREAD", "0.0", "", "", "", "", "")))


def test_the_command_writes_tables_pictures_and_what_they_came_from(cohort, result):
    assert {path.name for path in result.iterdir()} == {*RESULT_FILES, RECORD_FILE}
    for name, columns in {
        "deseq2.csv": DESEQ2_COLUMNS,
        "ora.csv": ORA_COLUMNS,
        "hubs.csv": HUB_COLUMNS,
    }.items():
        assert tuple(rows_of(result / name)[0]) == columns
    found = json.loads((result / "genes.json").read_text())
    roles = {
        "counts": "counts.csv",
        "groups": "groups.csv",
        "gene sets": "sets.gmt",
        "interactions": "ppi.tsv",
    }
    assert {entry["role"]: entry["sha256"] for entry in found["inputs"]} == {
        role: hashlib.sha256((cohort / name).read_bytes()).hexdigest() for role, name in roles.items()
    }
    assert found["cases"] == {"low": 12, "positive": 12} and found["genes"]["without_reads"] == 1
    assert "Research use only" in found["notice"] and str(cohort) not in (result / "genes.json").read_text()
    immune, *_ = rows_of(result / "ora.csv")
    assert (immune["source"], immune["term"], immune["set_size"]) == ("sets", "IMMUNE", "10")
    assert sorted(row["term"] for row in rows_of(result / "ora.csv")) == [
        "IMMUNE",
        "MAPK",
    ], "PROTEASOME holds 7 genes only"
    hubs = {row["gene"]: row for row in rows_of(result / "hubs.csv")}
    assert (hubs["ERBB2"]["mcc"], hubs["ERBB2"]["degree"]) == ("1", "1") and hubs["SCUBE2"]["mcc"] == "0"


def test_the_same_files_give_the_same_bytes_and_pictures_of_a_former_run_go(cohort, tmp_path):
    arguments = [
        "genes",
        cohort / "few.csv",
        "--groups",
        cohort / "groups.csv",
        "--gmt",
        cohort / "sets.gmt",
        "--ppi",
        cohort / "ppi.tsv",
    ]
    run = [*map(str, arguments), "--out", str(tmp_path)]
    assert main(run) == 0
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(run) == 0
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()} and set(first) == {
        *RESULT_FILES,
        RECORD_FILE,
    }
    assert main([*run, "--lfc", "20"]) == 0, "no gene: every picture says so"
    assert (tmp_path / "ora.csv").read_text() == ",".join(ORA_COLUMNS) + "\n"
    assert main([*run[:4], *run[-2:], "--no-figures"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"genes.json", "deseq2.csv", RECORD_FILE}


def test_size_factors_are_medians_of_ratios_and_the_reference_turns_the_sign(cohort):
    """Size factors by their definition (Anders & Huber, Genome Biology 2010;11:R106)."""
    some = read_counts(cohort / "few.csv")
    found = differential_expression(some, read_groups(cohort / "groups.csv", some, "low"))
    positive = some.values[(some.values > 0).all(axis=1)]
    expected = np.median(positive / np.exp(np.log(positive).mean(axis=1, keepdims=True)), axis=0)
    assert [found.size_factors[case] for case in some.cases] == pytest.approx(expected.tolist())
    turned = differential_expression(some, read_groups(cohort / "groups.csv", some, "positive"))
    assert turned.table["log2FoldChange"].to_numpy() == pytest.approx(
        -found.table["log2FoldChange"].to_numpy(), abs=1e-4
    )


# Over-representation


def gene_sets(**genes_of):
    return GeneSets(None, "test", {term: frozenset(members) for term, members in genes_of.items()}, "")


def test_over_representation_equals_the_published_example(monkeypatch):
    """17,980 genes, 57 of interest, a category of 2,641 that holds 28: `phyper(27, 2641, 15339, 57,
    lower.tail = FALSE)` and the one-sided `fisher.test` give 7.88e-10 (G. Yu, author of clusterProfiler,
    "Enrichment analysis", 2012).
    """
    monkeypatch.setattr(enrichment, "SET_SIZES", (10, 17979))
    universe = [f"g{n}" for n in range(17980)]
    sets = gene_sets(category=universe[:2641], all=universe[2641:])
    found = over_representation([*universe[:28], *universe[-29:]], universe, sets)
    (row,) = (row for row in found.rows if row["term"] == "category")
    drawn = sum(math.comb(2641, k) * math.comb(15339, 57 - k) for k in range(28, 58))
    assert (
        row["p"]
        == pytest.approx(float(Fraction(drawn, math.comb(17980, 57))), rel=1e-9)
        == pytest.approx(7.88e-10, rel=1e-3)
    )


def test_universe_sizes_and_adjustment_are_clusterprofilers():
    tested = [f"g{n}" for n in range(200)]
    sets = gene_sets(
        small=tested[:9],
        ten=[*tested[:10], *(f"other{n}" for n in range(600))],  # 610 genes, 10 of them tested
        large=[*tested[:120]],
        without_deg=tested[100:140],
        untested=[f"other{n}" for n in range(50)],
    )
    degs = [*tested[:8], "g199"]  # g199 is in no set: not annotated, so not drawn
    found = over_representation(degs, tested, sets)
    assert (found.universe, found.drawn) == (140, 8)
    rows = {row["term"]: row for row in found.rows}
    assert set(rows) == {"ten", "large"}, "too small, or without a DEG"
    assert (
        rows["ten"]["set_size"] == 10
        and rows["ten"]["overlap"] == 8
        and rows["ten"]["genes"] == "g0/g1/g2/g3/g4/g5/g6/g7"
    )
    p_ten, p_large = (float(Fraction(math.comb(size, 8), math.comb(140, 8))) for size in (10, 120))
    assert rows["ten"]["p"] == pytest.approx(p_ten) and rows["large"]["p"] == pytest.approx(p_large)
    assert rows["ten"]["padj"] == pytest.approx(2 * p_ten) and rows["large"]["padj"] == pytest.approx(p_large)


# Hubs


def brute_force_mcc(graph):
    """All subsets of nodes that are cliques and cannot grow."""

    def is_clique(nodes):
        return all(graph.has_edge(*pair) for pair in combinations(nodes, 2))

    centrality = dict.fromkeys(graph, 0)
    for size in range(2, len(graph) + 1):
        for nodes in combinations(graph, size):
            if is_clique(nodes) and not any(is_clique([*nodes, other]) for other in set(graph) - set(nodes)):
                for node in nodes:
                    centrality[node] += math.factorial(size - 1)
    return centrality


@pytest.mark.parametrize("seed", range(12))
def test_mcc_equals_a_brute_force_count(seed):
    graph = nx.gnp_random_graph(9, 0.2 + 0.06 * seed, seed=seed)
    found = maximal_clique_centrality(nx.relabel_nodes(graph, "gene{}".format))
    assert found.complete
    assert found.mcc == {f"gene{node}": value for node, value in brute_force_mcc(graph).items()}


def test_mcc_is_the_degree_without_triangles_zero_alone_and_exact_when_huge():
    star = nx.star_graph(7)
    star.add_node("alone")
    found = maximal_clique_centrality(nx.relabel_nodes(star, str))
    assert found.mcc == {"0": 7, "alone": 0, **{str(n): 1 for n in range(1, 8)}}
    assert set(maximal_clique_centrality(nx.complete_graph(200)).mcc.values()) == {math.factorial(199)}


def test_too_many_cliques_are_bounded_and_said():
    # 2^40 maximal cliques
    pairs_apart = nx.relabel_nodes(nx.complete_multipartite_graph(*[2] * 40), "g{}".format)
    found = network(list(pairs_apart), Interactions(None, pairs_apart, ""), max_cliques=2000)
    assert (found.cliques, found.complete) == (2000, False)
    assert sum(row["mcc"] for row in found.rows) == 2000 * 40 * math.factorial(39)
    assert (
        found.rows
        == network(list(pairs_apart)[::-1], Interactions(None, pairs_apart, ""), max_cliques=2000).rows
    )


def test_equal_mcc_is_an_equal_rank():
    graph = nx.Graph([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")])
    rows = network(["d", "c", "b", "a", "not there"], Interactions(None, graph, "")).rows
    assert [(row["gene"], row["mcc"], row["degree"], row["rank"]) for row in rows] == [
        ("c", 3, 3, 1),
        ("a", 2, 2, 2),
        ("b", 2, 2, 2),
        ("d", 1, 1, 4),
    ]


# Real tumours


def test_real_tumours_show_the_her2_amplicon(shared_data, tmp_path):
    """TCGA-BRCA by reference standard, 15 positive against 12 low; every twentieth gene, for speed, and the
    amplicon's.

    R's DESeq2 1.38 on all genes: ERBB2 and GRB7 among the twelve of smallest adjusted p, log2 fold changes of
    about 4.1.
    """
    omics = shared_data / "omics"
    lines = gzip.decompress((omics / "tcga_brca_her2_60_counts.csv.gz").read_bytes()).decode().splitlines()
    amplicon = ("ERBB2,", "GRB7,", "STARD3,", "PGAP3,", "MIEN1,")
    some = [line for n, line in enumerate(lines) if n % 20 == 0 or line.startswith(amplicon)]
    counts = read_counts(write(tmp_path / "counts.csv", "\n".join(some)))
    status = {}
    for row in rows_of(omics / "tcga_brca_her2_60_labels.csv"):
        ish = row["her2_fish_status"].lower()
        if row["her2_ihc_score"] in ("0", "1+", "2+", "3+"):
            score = row["her2_ihc_score"]
            status[row["patient"]] = her2_status(
                score, ish if ish in ("positive", "negative", "equivocal") else ""
            ).value
    groups = "case_id,group\n" + "".join(
        f"{case},{name}\n" for case, name in status.items() if name in ("low", "positive")
    )
    groups = read_groups(write(tmp_path / "groups.csv", groups), counts, "low")
    assert Counter(groups.of_case.values()) == {"positive": 15, "low": 12}
    found = differential_expression(counts, groups)
    top = by_significance(found.table).head(12)
    assert found.trend == "parametric" and {"ERBB2", "GRB7"} <= set(top.index)
    assert top.loc[["ERBB2", "GRB7"], "log2FoldChange"].tolist() == pytest.approx([4.1, 4.1], abs=0.15)
    degs = differentially_expressed(found.table, Thresholds()).index
    edges = read_interactions(omics / "string_v12_human_conf700_notextmining_edges.tsv.gz", counts)
    assert edges.graph.number_of_edges() == 174_962 and network(degs, edges).complete
    for name, terms in {
        "c2.cp.kegg.v7.5.1.symbols.gmt": 186,
        "enrichr.GO_Biological_Process_2021.gmt": 6036,
    }.items():
        sets = read_gene_sets(omics / name, counts)
        enriched = over_representation(degs, counts.genes, sets)
        assert len(sets.genes_of) == terms and all(
            10 <= row["set_size"] <= 500 and row["p"] <= row["padj"] for row in enriched.rows
        )


# Bad input


COUNTS = "gene,a1,a2,b1,b2\nERBB2,5,6,70,80\nGRB7,3,2,40,50\nACTB,90,80,85,99\n"
GROUPS = "case_id,group\na1,low\na2,low\nb1,positive\nb2,positive\n"


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (
            COUNTS.replace("70", "-4"),
            "row 2 (gene ERBB2), column b1, value '-4': is negative (1 such values)",
        ),
        (COUNTS.replace("3,2", "3,"), "row 3 (gene GRB7), column a2, value '': is no number"),
        (COUNTS.replace("3,2", "NA,2"), "row 3 (gene GRB7), column a1, value 'NA': is no number"),
        (
            COUNTS.replace("90,80", "1.75,2.5"),
            "row 4 (gene ACTB), column a1, value '1.75': is no whole number (2 such values); give raw counts",
        ),
        (COUNTS.replace("90", "9e12"), "is too large for a count of reads"),
        (COUNTS + "GRB7,1,1,1,1\n", "gene 'GRB7' is there more than once"),
        (
            COUNTS.replace("ACTB", "1-Mar") + "Sep-02,1,1,1,1\n",
            "gene '1-Mar', 'Sep-02': a spreadsheet made dates",
        ),
        (COUNTS.replace("ACTB", ""), "row 4: the gene has no name"),
        (COUNTS.replace("a2,", "a1,", 1), "row 1: case 'a1' is there more than once"),
        (COUNTS.replace("a2,", ",", 1), "row 1: column 3 has no name; name the case"),
        (COUNTS.replace("gene,", "", 1), "row 1: 4 names where row 2 has 5 values"),
        ("gene,a1\nA,0\nB,0\n", "column a1: every count is 0"),
        ("gene,a1\n", "holds no gene"),
        (COUNTS + "X,1,2,3,4,5\n", "is no table"),
    ],
)
def test_bad_counts_are_one_clear_line(counts, said, tmp_path):
    path = write(tmp_path / "counts.csv", counts)
    with pytest.raises(InputError) as error:
        read_counts(path)
    (fault,) = error.value.faults
    assert fault.startswith(f"{path}: ") and said in fault


def test_whole_numbers_may_be_written_as_decimals_and_tabs_separate_too(tmp_path):
    text = COUNTS.replace("70", "70.0").replace("90", "9e1")
    files = write(tmp_path / "counts.csv", text), write(tmp_path / "counts.tsv", text.replace(",", "\t"))
    assert [read_counts(path).values.tolist() for path in files] == [
        [[5, 6, 70, 80], [3, 2, 40, 50], [90, 80, 85, 99]]
    ] * 2


@pytest.mark.parametrize(
    ("groups", "reference", "said"),
    [
        (GROUPS + "c1,low\n", "low", "case_id 'c1': 1 of 5 cases are no column of"),
        (GROUPS + "a1,low\n", "low", "row 2, 6, column case_id, value 'a1': is there 2 times"),
        (GROUPS.replace("a2,low", "a2,zero"), "low", "holds 3 groups: low (1), positive (2), zero (1)"),
        (GROUPS.replace("a2,low\n", ""), "low", "group low has 1 case; at least 2"),
        (
            GROUPS.replace("low", "A").replace("positive", "B"),
            "low",
            "no group is 'low', the reference; give --reference A or --reference B",
        ),
        (GROUPS.replace("a2,low", "a2,"), "low", "row 3, column group, value '': is missing"),
        ("case_id,group\n", "low", "holds 0 groups"),
        (GROUPS.replace("group", "status"), "low", "column group is missing"),
    ],
)
def test_bad_groups_are_one_clear_line(groups, reference, said, tmp_path):
    counts = read_counts(write(tmp_path / "counts.csv", COUNTS))
    with pytest.raises(InputError) as error:
        read_groups(write(tmp_path / "groups.csv", groups), counts, reference)
    (fault,) = error.value.faults
    assert said in fault.replace("rows 2, 6", "row 2, 6")


def test_names_that_r_changed_are_recognised(tmp_path):
    counts = read_counts(write(tmp_path / "counts.csv", COUNTS.replace("a1", "TCGA.A1")))
    with pytest.raises(InputError, match=r"check\.names = FALSE"):
        read_groups(write(tmp_path / "groups.csv", GROUPS.replace("a1", "TCGA-A1")), counts, "low")


def test_other_identifiers_are_told(tmp_path):
    counts = read_counts(
        write(
            tmp_path / "counts.csv",
            COUNTS.replace("ERBB2", "ENSG00000141736.14").replace("GRB7", "ENSG00000141738"),
        )
    )
    with pytest.raises(
        InputError,
        match=r"none of its 2 genes .* symbols .*, .* Ensembl identifiers \('ENSG00000141736.14'\): map one",
    ):
        read_gene_sets(write(tmp_path / "s.gmt", "TERM\t\tERBB2\tGRB7\n"), counts)
    with pytest.raises(InputError, match="none of its 2 genes"):
        read_interactions(write(tmp_path / "p.tsv", "a\tb\nERBB2\tGRB7\n"), counts)


@pytest.mark.parametrize("text", ["TERM ERBB2 GRB7\n", "TERM\tdescription\n"])
def test_what_is_no_gmt_is_told(text, tmp_path):
    with pytest.raises(InputError, match=r"line 1, value .*: is no gene set"):
        read_gene_sets(write(tmp_path / "s.gmt", text), read_counts(write(tmp_path / "counts.csv", COUNTS)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ERBB2\tGRB7\nGRB7\tACTB\n", "are genes, no header"),
        ("a\tb\nERBB2\n", "line 2: holds no interaction"),
    ],
)
def test_what_is_no_edge_list_is_told(text, said, tmp_path):
    with pytest.raises(InputError, match=said):
        read_interactions(
            write(tmp_path / "p.tsv", text), read_counts(write(tmp_path / "counts.csv", COUNTS))
        )


EDGES = [("ERBB2", "GRB7"), ("GRB7", "ACTB")]
LAYOUTS = {
    "SIF": (
        "".join(f"{a}\tpp\t{b}\n" for a, b in EDGES),
        "columns 1 and 3 ('ERBB2', 'GRB7'), a relation 'pp' between them (SIF)",
    ),
    "SIF with several targets": (
        "ERBB2 interacts-with GRB7 ACTB\nGRB7 pd ACTB\n",
        "a relation 'interacts-with' between them (SIF)",
    ),
    "SIF with a header": (
        "a,type,b\n" + "".join(f"{a},binds,{b}\n" for a, b in EDGES),
        "a relation 'binds' between them (SIF)",
    ),
    "BioGRID": (
        "#ID\tEntrez A\tEntrez B\t"
        + "\t".join("defghi")
        + "\n"
        + "".join(f"1\t2\t3\t4\t5\t-\t-\t{a}\t{b}\n" for a, b in EDGES),
        "columns 8 and 9 ('ERBB2', 'GRB7')",
    ),
    "edge table of Cytoscape": (
        '"SUID","interaction","name"\n' + "".join(f'"9","pp","{a} (pp) {b}"\n' for a, b in EDGES),
        "both genes in one cell, 'GRB7 (pp) ACTB' (Cytoscape's edge table)",
    ),
    "STRING's own identifiers": (
        "a b score\n9606.ENSP00000269571 9606.ENSP00000309503 900\n",
        "STRING identifiers ('9606.ENSP0",
    ),
    "lower case": ("a\tb\nerbb2\tgrb7\n", "in upper and lower case ('erbb2' there, 'ERBB2' in "),
    "no header, one gene not counted": ("ERBB2\tOTHER\nGRB7\tACTB\n", "are genes, no header"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_edge_list_of_another_layout_is_refused_and_named(name, tmp_path):
    """A relation word was a gene, and the network without an edge; the network of the other layouts had none
    of its genes."""
    text, said = LAYOUTS[name]
    with pytest.raises(InputError) as error:
        read_interactions(
            write(tmp_path / "p.txt", text), read_counts(write(tmp_path / "counts.csv", COUNTS))
        )
    (fault,) = error.value.faults
    assert said in fault


def test_further_columns_of_an_edge_list_may_repeat_its_genes(tmp_path):
    text = "a\tb\ta again\tscore\tb again\n" + "".join(f"{a}\t{b}\t{a}\t900\t{b}\n" for a, b in EDGES)
    found = read_interactions(
        write(tmp_path / "p.tsv", text), read_counts(write(tmp_path / "counts.csv", COUNTS))
    )
    assert {frozenset(edge) for edge in found.graph.edges} == {frozenset(edge) for edge in EDGES}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "T\t\tERBB2\nU\tnone\tERBB2,GRB7,ACTB\n",
            "line 2, value 'ERBB2,GRB7,ACTB': several genes in one cell",
        ),
        ("T\t\tX; GRB7\tERBB2\n", "line 1, value 'X; GRB7': several genes in one cell"),
        ("T\tnone\tERBB2 GRB7\n", "value 'ERBB2 GRB7': several genes in one cell"),
        ("T\tERBB2\tGRB7\nU\tACTB\tGRB7\n", "column 2 holds genes; GMT has a description there"),
        ("T\t\tErbb2\tGrb7\n", "in upper and lower case ('Erbb2' there, 'ERBB2' in"),
    ],
)
def test_gene_sets_that_would_lose_genes_are_refused(text, said, tmp_path):
    with pytest.raises(InputError) as error:
        read_gene_sets(write(tmp_path / "s.gmt", text), read_counts(write(tmp_path / "counts.csv", COUNTS)))
    (fault,) = error.value.faults
    assert said in fault


def test_weights_behind_genes_are_no_list_of_genes(tmp_path):
    sets = read_gene_sets(
        write(tmp_path / "s.gmt", "T\t\tERBB2,1.0\tGRB7,0.5\n"),
        read_counts(write(tmp_path / "counts.csv", COUNTS)),
    )
    assert sets.genes_of == {"T": {"ERBB2", "GRB7"}}


def test_what_could_not_be_tested_or_ranked_is_said(tmp_path, capsys):
    """Three genes change eightfold, 27 do not."""
    change = np.ones((30, 8))
    change[:3, 4:] = 8
    values = np.random.default_rng(0).poisson(200 * change)
    rows = [
        "gene,a1,a2,a3,a4,b1,b2,b3,b4",
        *(f"G{n}," + ",".join(map(str, row)) for n, row in enumerate(values)),
    ]
    counts = write(tmp_path / "counts.csv", "\n".join(rows) + "\n")
    members = "".join(f"a{n},low\nb{n},positive\n" for n in range(1, 5))
    groups = write(tmp_path / "groups.csv", f"case_id,group\n{members}")
    sets = write(tmp_path / "small.gmt", "".join(f"T{n}\t\tG{n}\tX{n}\tY{n}\n" for n in range(3)))
    others = write(tmp_path / "others.gmt", "T\t\tG10\tG11\n")
    edges = write(tmp_path / "p.tsv", "a\tb\n" + "".join(f"G{n}\tG{n + 10}\n" for n in range(3)))
    run = ["genes", str(counts), "--groups", str(groups), "--out", str(tmp_path / "out"), "--no-figures"]
    status = main([*run, "--gmt", str(sets), "--gmt", str(others), "--ppi", str(edges)])
    said = capsys.readouterr()
    assert status == 0, said.err
    notes = json.loads((tmp_path / "out" / "genes.json").read_text())["notes"]
    for text in (
        "small: only 3 of its 9 genes are in the counts",
        "small: no set can be tested, none with a differentially expressed gene has 10 to 500 tested genes",
        "others: no set can be tested, it annotates no differentially expressed gene",
        (
            "no hubs: none of the 3 differentially expressed genes in the interactions interacts with another"
            " (every MCC is 0)"
        ),
    ):
        assert text in notes
        assert text in said.out


def test_bad_options_leave_nothing_behind(tmp_path, capsys):
    counts = write(tmp_path / "counts.csv", COUNTS)
    groups = write(tmp_path / "groups.csv", GROUPS)
    run = ["genes", str(counts), "--groups", str(groups), "--out", str(tmp_path / "out")]
    for arguments, said in (
        (["--alpha", "2"], "alpha must lie between 0 and 1"),
        (["--gmt", str(tmp_path / "none.gmt")], "no such file"),
        (["--out", str(tmp_path)], "is not a result of this command"),
    ):
        assert main([*run, *arguments]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
