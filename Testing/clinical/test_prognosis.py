"""Prognosis: against R's published output, against the definitions computed plainly, against known answers;
the command as a user runs it.
"""

import json
import math

import numpy as np
import pytest
from lifelines.datasets import load_gbsg2

from HER2ViTTrainingLib.clinical.cox import continuous_variable, fit_cox
from HER2ViTTrainingLib.clinical.follow_up import Question, read_follow_up, tied_times
from HER2ViTTrainingLib.clinical.prognosis import prognosis
from HER2ViTTrainingLib.clinical.survival import holm, kaplan_meier
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.simulation.case_key import CaseKey
from HER2ViTTrainingLib.simulation.clinical import LOG_HAZARD_RATIOS, draw_clinical, draw_follow_up
from HER2ViTTrainingLib.simulation.hidden import draw_hidden
from HER2ViTTrainingLib.tables.case_table import read_cases
from support.csv_files import rows_of, write_csv

COVARIATES = ("age", "menostat", "tsize", "tgrade", "pnodes", "progrec", "estrec")


@pytest.fixture(scope="module")
def gbsg2(tmp_path_factory):
    """German Breast Cancer Study Group 2 (Schumacher et al., J Clin Oncol 1994;12:2086), as lifelines ships
    it: 686 women, 299 events.
    """
    path = tmp_path_factory.mktemp("gbsg2") / "gbsg2.csv"
    load_gbsg2().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def found(gbsg2):
    return prognosis(
        read_cases(gbsg2), Question("time", "cens", "horTh", covariates=COVARIATES, select="all")
    )


# Published output of R's survival package


def test_medians_and_log_rank_test_of_gbsg2_equal_r(found):
    """survfit(Surv(time, cens) ~ horTh): no 1528 (1296, 1814), yes 2018 (1918, NA); survdiff: chi-squared
    8.5648, p 0.003427.
    """
    medians = {
        curve.name: (curve.n, curve.events.sum(), curve.median.value, curve.median.low, curve.median.high)
        for curve in found.curves
    }
    assert medians["no"] == (440, 205, 1528, 1296, 1814)
    assert medians["yes"][:4] == (246, 94, 2018, 1918)
    assert math.isnan(medians["yes"][4])
    assert (round(found.overall.statistic, 4), found.overall.df, round(found.overall.p, 6)) == (
        8.5648,
        1,
        0.003427,
    )


def test_the_multivariable_model_of_gbsg2_equals_r(found):
    """Coefficients and errors of coxph(Surv(time, cens) ~ ., GBSG2) as printed in Everitt & Hothorn, A
    Handbook of Statistical Analyses Using R, chapter Survival Analysis (package HSAUR). There the grade is
    ordered (contrasts .L, .Q), and menostat's reference is Pre: here turned into levels against I, and Post
    as reference.
    """
    linear = 0.551299
    quadratic = -0.201091
    published = {
        "horTh[yes]": (-0.346278, 0.129075),
        "age": (-0.009459, 0.009301),
        "menostat[Pre]": (-0.258445, 0.183476),
        "tsize": (0.007796, 0.003939),
        "tgrade[II]": (linear / math.sqrt(2) - 3 * quadratic / math.sqrt(6), None),
        "tgrade[III]": (linear * math.sqrt(2), None),
        "pnodes": (0.048789, 0.007447),
        "progrec": (-0.002217, 0.000574),
        "estrec": (0.000197, 0.000450),
    }
    ratios = {row.variable: row for row in found.multivariable.ratios}
    assert ratios.keys() == published.keys()
    for name, (coefficient, error) in published.items():
        ratio = ratios[name].ratio
        assert ratio.value == pytest.approx(math.exp(coefficient), abs=1e-5)
        if error is not None:
            assert math.log(ratio.high / ratio.low) / 2 / 1.959964 == pytest.approx(error, abs=1e-6)
    assert ratios["tgrade[II]"].reference == "I"


def test_curve_band_and_median_of_aml_equal_r():
    """summary(survfit(Surv(time, status) ~ x, aml)), example of R's survival package (data: Miller 1981, p.
    49).
    """
    times = np.array([5, 5, 8, 8, 12, 16, 23, 27, 30, 33, 43, 45], float)
    curve = kaplan_meier("Nonmaintained", times, np.array([1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1], bool))
    rows = zip(curve.times, curve.at_risk, curve.events, curve.survival, curve.low, curve.high)
    shown = [(row[:3], np.round(np.array(row[3:], float), 4).tolist()) for row in rows if row[2]]
    published = [
        ((5, 12, 2), (0.8333, 0.6470, 1.000)),
        ((8, 10, 2), (0.6667, 0.4468, 0.995)),
        ((12, 8, 1), (0.5833, 0.3616, 0.941)),
        ((23, 6, 1), (0.4861, 0.2675, 0.883)),
        ((27, 5, 1), (0.3889, 0.1854, 0.816)),
        ((30, 4, 1), (0.2917, 0.1148, 0.741)),
        ((33, 3, 1), (0.1944, 0.0569, 0.664)),
        ((43, 2, 1), (0.0972, 0.0153, 0.620)),
    ]
    for (counts, values), (expected, printed) in zip(shown, published):
        assert counts == expected
        assert values == pytest.approx(printed, abs=6e-4)
    assert curve.survival[-1] == 0
    assert math.isnan(curve.low[-1])
    assert (curve.median.value, curve.median.low) == (23, 8)
    assert math.isnan(curve.median.high)
    assert curve.at_risk_at([0, 5, 6, 45, 46]) == [12, 12, 10, 1, 0]


def test_a_median_on_a_step_is_its_middle():
    """As R's survfit: the curve of times 1, 2, 3, 4 without censoring stays on one half from 2 to 3."""
    assert kaplan_meier("", np.array([1.0, 2, 3, 4]), np.ones(4, bool)).median.value == 2.5


# Computed with R 4.2.2, survival 3.5-3; the lines that gave a value stand beside it


def follow_up_file(tmp_path, **columns):
    names = list(columns)
    return write_csv(tmp_path / "cases.csv", [dict(zip(names, row)) for row in zip(*columns.values())])


CENSORED_EARLY = {
    "t": [5, 8, 9, 12, 6, 7, 7, 10, 1, 2],
    "e": [1, 1, 0, 1, 1, 1, 1, 0, 0, 0],
    "g": [*"AAAABBBBCC"],
}


def test_a_group_censored_before_the_first_event_does_not_count(tmp_path):
    """s <- survdiff(Surv(t, e) ~ g, d); s$chisq; s$pvalue: 0.4254066, 0.5142515 on 1 degree of freedom."""
    found = prognosis(read_cases(follow_up_file(tmp_path, **CENSORED_EARLY)), Question("t", "e", "g"))
    assert (found.overall.statistic, found.overall.p) == pytest.approx((0.4254065520, 0.5142515343), rel=1e-9)
    assert found.overall.df == 1
    assert "g: not in the log-rank test, censored before the first event: C" in found.notes
    assert [(pair.groups, pair.df, math.isnan(pair.statistic)) for pair in found.pairs] == [
        (("A", "B"), 1, False), (("A", "C"), 0, True), (("B", "C"), 0, True)
    ]  # fmt: skip
    assert found.pairs[0].p_holm == found.pairs[0].p


def test_a_pair_without_events_is_empty_and_does_not_count_in_holm(tmp_path):
    """p <- c(survdiff(Surv(t, e) ~ g, d, g != "C")$pvalue, survdiff(Surv(t, e) ~ g, d, g != "B")$pvalue, NA);
    p.adjust(p, "holm")."""
    times = [2, 3, 4, 6, 9, 10, 12, 14, 11, 13, 15]
    groups = [*"AAAAABBBCCC"]
    path = follow_up_file(tmp_path, t=times, e=[1] * 4 + [0] * 7, g=groups)
    found = prognosis(read_cases(path), Question("t", "e", "g"))
    assert (found.overall.statistic, found.overall.p) == pytest.approx((7.31289528130, 0.02582408641))
    assert found.overall.df == 2
    assert [pair.p for pair in found.pairs] == pytest.approx(
        [0.05317356, 0.05317356, math.nan], rel=1e-6, nan_ok=True
    )
    assert [pair.p_holm for pair in found.pairs] == pytest.approx(
        [0.1063471, 0.1063471, math.nan], rel=1e-6, nan_ok=True
    )


@pytest.mark.parametrize(
    ("times", "events", "why"),
    [
        ([4, 5, 1, 2], [1, 1, 0, 0], "a single group is at risk at an event"),
        # R: the system is exactly singular
        ([5, 3, 5, 3], [1, 0, 1, 0], "every case at risk at the first event has it"),
    ],
)
def test_where_there_is_nothing_to_compare_the_test_is_empty_and_said_so(
    tmp_path, capsys, times, events, why
):
    rows = [
        {"case_id": f"c{n}", "months": t, "event": e, "g": g}
        for n, (t, e, g) in enumerate(zip(times, events, "AABB"))
    ]
    status, said = run(tmp_path, capsys, rows, "--group", "g")
    assert (status, "log-rank: no test" in said.out, why in said.out) == (0, True, True), said.err
    test = json.loads((tmp_path / "out" / "logrank.json").read_text())
    assert (test["statistic"], test["df"], test["p"], test["pairwise"][0]["p_holm"]) == (None, 0, None, None)
    assert "nan" not in (tmp_path / "out" / "table3.html").read_text().partition("<h2>Cox")[0]


ROUND_OFF_TIMES = {
    "t": [0.3, 0.1 + 0.2, 0.5, 0.7, 0.1 + 0.2, 0.3, 0.9, 1.0],
    "e": [1, 1, 1, 0, 1, 1, 1, 1],
    "g": [*"AAAABBBB"],
    "x": [1.2, 0.3, 2.2, 1.0, 0.1, 0.9, 1.5, 0.4],
}


def test_times_that_differ_by_round_off_are_ties_in_curve_test_and_model(tmp_path):
    """survfit(Surv(t, e) ~ g, d): A 0.5 after 2 events at 0.3; survdiff(Surv(t, e) ~ g, d)$chisq;
    summary(coxph(Surv(t, e) ~ x, d))$conf.int."""
    cases = read_cases(follow_up_file(tmp_path, **ROUND_OFF_TIMES))
    found = prognosis(cases, Question("t", "e", "g", covariates=("x",)))
    curve = found.curves[0]
    steps = list(zip(curve.times, curve.events, curve.survival))
    assert steps == [(0.3, 2, 0.5), (0.5, 1, 0.25), (0.7, 0, 0.25)]
    assert found.overall.statistic == pytest.approx(0.3043478261)
    ratio = found.univariable[1].ratios[0].ratio
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx(
        (0.9322045643, 0.2679441884, 3.243232686), rel=1e-7
    )


def test_ties_are_within_a_tolerance_of_the_mean_and_of_nothing():
    """aeqSurv(Surv(c(1, 1 + 1e-8, 2, 2 + 1e-7, 0), rep(1, 5)))[, 1]: 1, 1, 2, 2.0000001, 0;
    aeqSurv(Surv(c(1e9, 1e9 + 1, 1e9 + 100), rep(1, 3)))[, 1]: 1e9, 1e9, 1000000100."""
    assert tied_times(np.array([1, 1 + 1e-8, 2, 2 + 1e-7, -0.0])).tolist() == [1, 1, 2, 2 + 1e-7, 0]
    assert tied_times(np.array([1e9, 1e9 + 1, 1e9 + 100])).tolist() == [1e9, 1e9, 1e9 + 100]


DIFFUSION = [0.001119, 0.001350, 0.000914, 0.001298, 0.001048, 0.001048, 0.001480, 0.001132, 0.001091]
DIFFUSION += [0.001246, 0.001325, 0.001094]


def test_a_covariate_in_units_far_beyond_its_spread_is_rescaled_or_reported(tmp_path, capsys):
    """summary(coxph(Surv(months, event) ~ I(10000 * adc), d)): HR 1.509428 (0.7435441, 3.064206), p 0.25441;
    I(100 * adc): 7.607e17 (1.351e-13, 4.283e48). Per mm2/s R prints HR Inf, 0 to Inf."""
    rows = [
        {"case_id": n, "months": n + 1, "event": int(n in (0, 3, 6, 9)), "adc": adc}
        for n, adc in enumerate(DIFFUSION)
    ]
    status, said = run(tmp_path, capsys, rows, "--covariates", "adc", "--no-figures")
    assert status == 2
    assert "covariate adc: a unit is" in said.err
    assert "multiply the column by 10000" in said.err
    for factor in (1e4, 1e2):
        scaled = [{**row, "adc": row["adc"] * factor} for row in rows]
        status, said = run(tmp_path, capsys, scaled, "--covariates", "adc")
        assert status == 0, said.err
        (found,) = rows_of(tmp_path / "out" / "cox.csv")
        per_1e4 = [float(found[name]) ** (factor / 1e4) for name in ("hr", "ci_low", "ci_high")]
        assert per_1e4 == pytest.approx([1.509428, 0.7435441, 3.064206], rel=1e-6)
        assert float(found["p"]) == pytest.approx(0.25441, abs=5e-6)
    (shown,) = rows_of(tmp_path / "out" / "table3.csv")
    assert shown["univariable HR (95% CI)"] == "7.61e+17 (1.35e-13, 4.28e+48)"


def test_a_model_whose_events_all_happen_at_once_has_no_concordance(tmp_path, capsys):
    """summary(coxph(Surv(rep(7, 8), rep(1, 8)) ~ c(3, 1, 2, 5, 4, 7, 6, 2)))$concordance: NaN, no pair
    compares."""
    rows = [{"case_id": n, "months": 7, "event": 1, "x": (3, 1, 2, 5, 4, 7, 6, 2)[n]} for n in range(8)]
    status, said = run(tmp_path, capsys, rows, "--covariates", "x", "--no-figures")
    assert status == 0, said.err
    assert rows_of(tmp_path / "out" / "cox.csv")[0]["concordance"] == ""


# Independent computations


def efron(times, events, design):
    """Cox's coefficients by Newton's method on Efron's likelihood, written from its definition."""
    beta = np.zeros(design.shape[1])
    for _ in range(12):
        gradient = np.zeros_like(beta)
        information = np.zeros((len(beta), len(beta)))
        risk = np.exp(design @ beta)
        for t in np.unique(times[events]):
            at_risk = times >= t
            died = (times == t) & events
            d = died.sum()
            for k in range(d):
                weights = risk * at_risk - k / d * risk * died
                mean = weights @ design / weights.sum()
                gradient += (design[died].sum(axis=0) - d * mean) / d if d > 1 else design[died][0] - mean
                information += (design.T * weights) @ design / weights.sum() - np.outer(mean, mean)
        beta = beta + np.linalg.solve(information, gradient)
    return beta, np.sqrt(np.diag(np.linalg.inv(information)))


def test_univariable_hazard_ratios_of_gbsg2_equal_efrons_likelihood(found):
    data = load_gbsg2()
    events = data["cens"].to_numpy() == 1
    times = data["time"].to_numpy(float)
    designs = {
        "horTh": [data["horTh"] == "yes"],
        "menostat": [data["menostat"] == "Pre"],
        "tgrade": [data["tgrade"] == "II", data["tgrade"] == "III"],
        **{
            name: [(data[name] - data[name].mean()) / data[name].std()]
            for name in ("age", "tsize", "pnodes", "progrec", "estrec")
        },
    }
    for variable, model in zip(found.variables, found.univariable):
        columns = np.array(designs[variable.name], float).T
        beta, error = efron(times, events, columns)
        scale = 1 if variable.name not in data or variable.reference else data[variable.name].std()
        for row, b, se in zip(model.ratios, beta / scale, error / scale):
            expected = (math.exp(b), math.exp(b - 1.959964 * se), math.exp(b + 1.959964 * se))
            assert (row.ratio.value, row.ratio.low, row.ratio.high) == pytest.approx(expected, abs=1e-6)
            assert row.p == pytest.approx(math.erfc(abs(b / se) / math.sqrt(2)), rel=1e-4)


def test_three_groups_and_pairs(gbsg2):
    """The log-rank test from its definition: observed minus expected events with their hypergeometric
    covariance.
    """
    data = load_gbsg2()
    found = prognosis(read_cases(gbsg2), Question("time", "cens", "tgrade"))
    times = data["time"].to_numpy()
    events = data["cens"].to_numpy() == 1
    grades = data["tgrade"].to_numpy()

    def log_rank(levels):
        chosen = np.isin(grades, levels)
        members = np.array([grades[chosen] == level for level in levels[:-1]], float)
        t = times[chosen]
        e = events[chosen]
        difference = np.zeros(len(members))
        covariance = np.zeros((len(members), len(members)))
        for moment in np.unique(t[e]):
            at_risk = t >= moment
            died = (t == moment) & e
            n = at_risk.sum()
            d = died.sum()
            share = members @ at_risk / at_risk.sum()
            difference += members @ died - d * share
            if n > 1:
                covariance += d * (n - d) / (n - 1) * (np.diag(share) - np.outer(share, share))
        return difference @ np.linalg.solve(covariance, difference)

    assert (found.overall.statistic, found.overall.df) == (
        pytest.approx(log_rank(("I", "II", "III")), rel=1e-8),
        2,
    )
    assert [pair.groups for pair in found.pairs] == [("I", "II"), ("I", "III"), ("II", "III")]
    assert [pair.statistic for pair in found.pairs] == pytest.approx(
        [log_rank(pair.groups) for pair in found.pairs], rel=1e-8
    )
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.005), "holm")
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])


# Known answers


def simulated(seed, cases=500):
    """Clinical data and follow-up as the simulation draws them, without the anatomy, which takes long: sizes
    are drawn plainly.
    """
    rng = np.random.default_rng([99, seed])
    rows = []
    for index in range(cases):
        status, latents = draw_hidden(CaseKey("A", seed, index))
        clinical = draw_clinical(rng, status, rng.uniform(0.8, 5))
        clinical.update(draw_follow_up(rng, clinical, latents.rim))
        rows.append({"case_id": index, "rim_high": int(latents.rim > 0), **clinical})
    return rows


def test_generating_hazard_ratios_lie_in_their_intervals(tmp_path):
    """All covariates entered, since the ratios are conditional; 95 % of 48 would be 46.

    Seeds 1-100 with 708 whole patients each (`draw_patient`), run once: 95 to 99 of 100 for each covariate,
    death and recurrence alike.
    """
    inside = 0
    asked = 0
    for seed in range(1, 7):
        cases = read_cases(write_csv(tmp_path / "cases.csv", simulated(seed)))
        for endpoint in ("os", "rfs"):
            follow_up = read_follow_up(cases, f"{endpoint}_months", f"{endpoint}_event")
            variables = [continuous_variable(name, cases.numbers(name)) for name in LOG_HAZARD_RATIOS]
            for row in fit_cox(follow_up, variables, "multivariable").ratios:
                asked += 1
                inside += row.ratio.low <= math.exp(LOG_HAZARD_RATIOS[row.variable]) <= row.ratio.high
    assert asked == 48
    assert inside >= 42


# The command


def run(tmp_path, capsys, rows, *options, time="months", event="event"):
    path = write_csv(tmp_path / "cases.csv", rows)
    status = main(
        ["prognosis", str(path), "--time", time, "--event", event, *options, "--out", str(tmp_path / "out")]
    )
    return status, capsys.readouterr()


def some_cases(n=60):
    rng = np.random.default_rng(5)
    rows = []
    for k in range(n):
        high = k % 2
        rows.append(
            {
                "case_id": f"c{k}",
                "months": round(rng.exponential(30 if high else 80), 1),
                "event": int(rng.random() < 0.7),
                "status": ("low", "positive")[high],
                "x ~ [cm]": round(rng.normal(3, 1), 2),
                "grade": ("G1", "G2", "G3")[rng.integers(3)],
                "score": round(0.2 + 0.5 * high + 0.2 * rng.random(), 3),
            }
        )
    return rows


def test_the_command_writes_every_file_of_the_contract(tmp_path, capsys):
    rows = some_cases()
    rows[3]["x ~ [cm]"] = "NA"
    rows[4]["months"] = ""
    rows[4]["event"] = ""
    status, said = run(
        tmp_path, capsys, rows, "--group", "status", "--covariates", '"x ~ [cm]",grade', "--select", "all"
    )
    assert status == 0, said.err
    out = tmp_path / "out"
    names = {"logrank.json", "km.csv", "cox.csv", "table3.csv", "table3.html", "km.png", "forest.png"}
    assert {path.name for path in out.iterdir()} == {*names, "made_by.json"}
    test = json.loads((out / "logrank.json").read_text())
    assert [(group["name"], group["n"]) for group in test["groups"]] == [("low", 29), ("positive", 30)]
    assert test["df"] == 1
    assert 0 <= test["p"] <= 1
    assert "1 case without follow-up (months, event), left out" in test["notes"]
    assert test["inputs"][0]["sha256"]
    cox = {(row["variable"], row["model"]): row for row in rows_of(out / "cox.csv")}
    assert cox["status[positive]", "univariable"]["n"] == "59"
    assert cox["x ~ [cm]", "univariable"]["n"] == "58"
    assert {row["n"] for (_, model), row in cox.items() if model == "multivariable"} == {"58"}
    assert ("grade[G3]", "multivariable") in cox
    curve = rows_of(out / "km.csv")
    assert list(curve[0]) == ["group", "time", "at_risk", "events", "censored", "survival", "low", "high"]
    assert (curve[0]["at_risk"], curve[0]["survival"]) == ("29", "1.0")
    assert "Research use only" in (out / "table3.html").read_text()
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    run(tmp_path, capsys, rows, "--group", "status", "--covariates", '"x ~ [cm]",grade', "--select", "all")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == files


def test_raw_scores_of_a_fold_that_learnt_nothing_are_warned_of(tmp_path, capsys):
    rows = some_cases()
    scores = []
    for k, row in enumerate(rows):
        fold = {"set": "out-of-fold", "fold": k % 3, "seed": 1, "calibrated": int(k % 3 != 0)}
        scores.append({"case_id": row["case_id"], "score": row.pop("score"), **fold})
    predictions = write_csv(tmp_path / "predictions.csv", scores)
    options = ("--join", str(predictions), "--score", "score", "--high-risk", "above", "--no-figures")
    status, said = run(tmp_path, capsys, rows, *options)
    assert status == 0, said.err
    assert "20 of 60 cases: score not calibrated, its model learnt nothing" in said.out


def test_groups_by_score_follow_the_stated_direction_and_training_cases_are_warned_of(tmp_path, capsys):
    rows = some_cases()
    scores = [
        {"case_id": row["case_id"], "set": ("training", "test")[k % 3 == 0], "score": row.pop("score")}
        for k, row in enumerate(rows)
    ]
    predictions = write_csv(tmp_path / "predictions.csv", scores)
    ratios = {}
    for side in ("above", "below"):
        options = ("--join", str(predictions), "--score", "score", "--high-risk", side, "--no-figures")
        status, said = run(tmp_path, capsys, rows, *options)
        assert status == 0, said.err
        assert "40 of 60 cases are of the model's own training or validation set" in said.out
        row = rows_of(tmp_path / "out" / "cox.csv")[0]
        assert row["variable"] == "predicted group[high risk]"
        assert "out-of-fold" in row["warning"]
        assert "out-of-fold" in (tmp_path / "out" / "table3.html").read_text()
        ratios[side] = float(row["hr"])
    assert ratios["above"] > 1
    assert ratios["below"] == pytest.approx(1 / ratios["above"])
    clean = write_csv(tmp_path / "predictions.csv", [{**row, "set": "out-of-fold"} for row in scores])
    run(
        tmp_path,
        capsys,
        rows,
        "--join",
        str(clean),
        "--score",
        "score",
        "--high-risk",
        "above",
        "--no-figures",
    )
    assert json.loads((tmp_path / "out" / "logrank.json").read_text())["warnings"] == []


def test_only_variables_with_a_small_p_enter_unless_all_are_asked_for(tmp_path, capsys):
    status, said = run(
        tmp_path, capsys, some_cases(), "--group", "status", "--covariates", "grade", "--no-figures"
    )
    assert status == 0, said.err
    rows = {row["variable"]: row for row in rows_of(tmp_path / "out" / "table3.csv")}
    assert rows["grade[G2] vs G1"]["multivariable HR (95% CI)"] == "not entered"
    assert rows["status[positive] vs low"]["multivariable HR (95% CI)"] != "not entered"


def test_without_groups_one_curve_also_with_events_at_time_0(tmp_path, capsys):
    rows = some_cases()
    rows = [{**row, "months": row["months"] + 1} for row in rows]
    rows[0].update(months=0, event=1)
    assert run(tmp_path, capsys, rows, "--no-figures")[0] == 0
    first = rows_of(tmp_path / "out" / "km.csv")[0]
    assert (first["time"], first["events"], float(first["survival"])) == ("0.0", "1", pytest.approx(59 / 60))
    test = json.loads((tmp_path / "out" / "logrank.json").read_text())
    assert (test["statistic"], test["p"], test["groups"][0]["name"], test["groups"][0]["n"]) == (
        None,
        None,
        "all cases",
        60,
    )


def changed(**columns):
    """A function that changes columns of rows; each column's function takes a row's number and the row."""

    def new_row(k, row):
        return {**row, **{name: value(k, row) for name, value in columns.items()}}

    return lambda rows: [new_row(k, row) for k, row in enumerate(rows)]


FAULTS = {
    "negative time": (
        changed(months=lambda k, r: -3 if k == 4 else r["months"]),
        [],
        "row 6, column months, value '-3': is negative",
    ),
    "missing time": (
        changed(months=lambda k, r: "" if k == 4 else r["months"]),
        [],
        "row 6, column months, value '': is missing where event is not",
    ),
    "event of 2": (
        changed(event=lambda k, r: 2 if k == 4 else r["event"]),
        [],
        "row 6, column event, value '2': must be 1 (event) or 0",
    ),
    "event in words": (
        changed(event=lambda k, r: "dead" if k == 4 else r["event"]),
        [],
        "row 6, column event, value 'dead': must be 1 (event) or 0",
    ),
    "no event": (changed(event=lambda k, r: 0), [], "no event among 60 cases"),
    "no follow-up": (changed(event=lambda k, r: "", months=lambda k, r: "NA"), [], "no case has follow-up"),
    "unknown column": (changed(), ["--group", "stage"], "column stage is missing"),
    "single group": (changed(status=lambda k, r: "low"), ["--group", "status"], "one group only, 'low'"),
    "group of one": (
        changed(status=lambda k, r: "ab"[k == 9]),
        ["--group", "status"],
        "group 'b' has 1 case",
    ),
    "no direction": (changed(), ["--score", "score"], "say which side of the cut-off is high risk"),
    "direction of nothing": (
        changed(),
        ["--group", "status", "--high-risk", "above"],
        "--high-risk above: goes with --score",
    ),
    "empty side": (
        changed(),
        ["--score", "score", "--cutoff", "0.95", "--high-risk", "above"],
        "no case has score 0.95 or above",
    ),
    "score in words": (
        changed(score=lambda k, r: "high" if k == 1 else 0.3),
        ["--score", "score", "--high-risk", "above"],
        "row 3, column score, value 'high'",
    ),
    "empty": (
        changed(stage=lambda k, r: "NA"),
        ["--covariates", "stage"],
        "covariate stage: empty in every case",
    ),
    "constant but for round-off": (
        changed(stage=lambda k, r: (0.3, 0.1 + 0.2)[k % 2]),
        ["--covariates", "stage"],
        "covariate stage: the same value in all 60 cases",
    ),
    "constant": (
        changed(stage=lambda k, r: 2),
        ["--covariates", "stage"],
        "covariate stage: the same value in all 60 cases",
    ),
    "collinear": (
        changed(a=lambda k, r: r["score"], b=lambda k, r: 1 - 2 * float(r["score"])),
        ["--covariates", "a,b", "--select", "all"],
        "covariates a, b: collinear: b follows from a",
    ),
    "level without event": (
        changed(grade=lambda k, r: "G4" if not r["event"] else r["grade"]),
        ["--covariates", "grade"],
        "covariate grade: no event among",
    ),
    "separation": (
        changed(event=lambda k, r: int(k < 20), months=lambda k, r: 1 + k, x=lambda k, r: 100 - k),
        ["--covariates", "x"],
        "covariate x: the Cox model does not converge",
    ),
    "words among numbers": (
        changed(size=lambda k, r: "big" if k == 2 else k),
        ["--covariates", "size"],
        "row 4, column size, value 'big': is not a finite number",
    ),
    "a case twice": (
        lambda rows: [*rows, rows[0]],
        [],
        "rows 2, 62, column case_id, value 'c0': is there 2 times",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(tmp_path, capsys, name):
    change, options, expected = FAULTS[name]
    status, said = run(tmp_path, capsys, change(some_cases()), *options)
    assert status == 2, said.out
    assert expected in said.err
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (
            ("FALSE", "TRUE"),
            [
                "value 'FALSE': must be 1 (event) or 0 (censored); write TRUE as 1, FALSE as 0",
                "value 'TRUE': must be 1",
            ],
        ),
        (
            ("0:LIVING", "1:DECEASED"),
            [
                "value '0:LIVING': must be 1",
                "value '1:DECEASED': must be 1 (event) or 0 (censored); keep the digit",
            ],
        ),
        (
            (1, 2),
            [
                "value '2': must be 1 (event) or 0 (censored); where 1 is censored and 2 an event, as in R, "
                "write 1 as 0, 2 as 1"
            ],
        ),
    ],
)
def test_other_codes_of_events_are_told_what_is_wanted(tmp_path, capsys, codes, said):
    status, printed = run(tmp_path, capsys, [{**row, "event": codes[row["event"]]} for row in some_cases()])
    lines = printed.err.splitlines()
    assert (status, len(lines)) == (2, len(said))
    for line, text in zip(sorted(lines, key=lambda line: line.partition("value")[2]), said):
        assert text in line


def test_excluded_cases_are_left_out_and_counted(tmp_path, capsys):
    rows = [
        {**row, "included": "no" if k < 4 else "yes", "exclude": ""} for k, row in enumerate(some_cases())
    ]
    status, said = run(tmp_path, capsys, rows, "--group", "status", "--no-figures")
    assert status == 0, said.err
    assert "4 cases excluded" in said.out
    assert (
        sum(group["n"] for group in json.loads((tmp_path / "out" / "logrank.json").read_text())["groups"])
        == 56
    )


def test_faults_of_a_join_are_told(tmp_path, capsys):
    rows = some_cases()
    twice = write_csv(tmp_path / "twice.csv", [{"case_id": "c1", "score": 1}, {"case_id": "c1", "score": 0}])
    assert run(tmp_path, capsys, rows, "--join", str(twice))[0] == 2
    others = write_csv(tmp_path / "others.csv", [{"case_id": "d1", "age": 50}])
    status, said = run(tmp_path, capsys, rows, "--join", str(others))
    assert (status, "no case_id of" in said.err) == (2, True)
    words = write_csv(tmp_path / "words.csv", [{"case_id": row["case_id"], "risk": "high"} for row in rows])
    status, said = run(
        tmp_path, capsys, rows, "--join", str(words), "--score", "risk", "--high-risk", "above"
    )
    assert (status, len(said.err.splitlines()), "value 'high'" in said.err, str(words) in said.err) == (
        2,
        1,
        True,
        True,
    )
    clash = write_csv(tmp_path / "clash.csv", [{"case_id": "c1", "grade": "G9"}])
    status, said = run(tmp_path, capsys, rows, "--join", str(clash))
    assert (status, "row 2, column grade, value 'G9'" in said.err) == (2, True)
