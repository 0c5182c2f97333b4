"""Compares sessile's boosted trees with XGBoost. The first argument is the example `trees`."""

import json
import subprocess
import sys

import numpy as np
import xgboost

TREES = sys.argv[1]
TOLERANCE = 1e-6
COLUMNS = 12


def run(*arguments):
    done = subprocess.run([TREES, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise SystemExit(f"{arguments}: {done.stderr}")
    return done.stdout


def table(seed, rows, distinct=None, missing=0.0):
    """Rows like those of ORFs: entropies, lengths, positions, flags; some values missing."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, COLUMNS)).astype(np.float32)
    values[:, 3:6] = np.round(np.exp(5 + values[:, 3:6]))
    values[:, 6:8] = random.integers(0, 5_000_000, size=(rows, 2))
    values[:, 8:] = random.integers(0, 3, size=(rows, 4))
    if distinct:
        for column in range(COLUMNS):
            steps = np.unique(np.quantile(values[:, column], np.linspace(0, 1, distinct)))
            places = np.searchsorted(steps, values[:, column]).clip(0, len(steps) - 1)
            values[:, column] = steps[places]
    score = values[:, 0] + values[:, 1] * values[:, 2] + (values[:, 3] > 150) + (values[:, 8] == 1)
    labels = (score + 0.7 * random.normal(size=rows) > 1.2).astype(np.float32)
    values[random.random(values.shape) < missing] = np.nan
    return values, labels


def write(path, values, labels):
    with open(path, "w") as out:
        for row, label in zip(values, labels):
            out.write(",".join(repr(float(value)) for value in row) + f",{int(label)}\n")


def predict(model, rows, *more):
    return np.array([np.float32(line) for line in run("predict", model, rows, *more).split()])


def same(what, ours, theirs):
    worst = float(np.max(np.abs(ours.astype(np.float64) - theirs)))
    exact = float(np.mean(ours == theirs))
    print(f"{what}: largest difference {worst:.1e}, the same to the last bit {exact:.1%}")
    assert worst <= TOLERANCE, what


def auc(labels, scores):
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    for score in np.unique(scores):
        ranks[scores == score] = ranks[scores == score].mean()
    positives = labels == 1
    count = positives.sum()
    return (ranks[positives].sum() - count * (count + 1) / 2) / (count * (len(labels) - count))


def theirs_read_by_us():
    values, labels = table(1, 1000, missing=0.1)
    write("rows.csv", values, labels)
    data = xgboost.DMatrix(values, labels)
    names = [f"feature {column}" for column in range(COLUMNS)]
    named = xgboost.DMatrix(values, labels, feature_names=names)
    for what, rounds, data, settings in [
        ("plain", 100, data, {}),
        ("named", 20, named, {}),
        ("weighted", 60, data, {"scale_pos_weight": 3.7}),
        ("base score", 30, data, {"base_score": 0.5}),
        ("leafwise", 40, data, {"grow_policy": "lossguide", "max_leaves": 20}),
        ("exact", 30, data, {"tree_method": "exact", "max_depth": 4}),
        ("pruned", 30, data, {"tree_method": "exact", "gamma": 20.0}),
        ("forest", 15, data, {"num_parallel_tree": 4, "subsample": 0.5}),
        ("one leaf", 3, data, {"gamma": 1e9}),
        ("deep", 40, data, {"max_depth": 12, "min_child_weight": 0}),
    ]:
        settings = {"objective": "binary:logistic", "seed": 1, **settings}
        booster = xgboost.train(settings, data, rounds)
        expected = booster.predict(data)
        for ending in ["json", "ubj"]:
            booster.save_model(f"theirs.{ending}")
            same(f"theirs, {what}, {ending}", predict(f"theirs.{ending}", "rows.csv"), expected)
            # Through our own writer and back into XGBoost.
            for other in ["json", "ubj"]:
                run("convert", f"theirs.{ending}", f"again.{other}")
                again = xgboost.Booster(model_file=f"again.{other}")
                assert again.num_boosted_rounds() == booster.num_boosted_rounds()
                assert again.feature_names == booster.feature_names
                assert again.get_score(importance_type="gain") == booster.get_score(
                    importance_type="gain"
                )
                assert np.array_equal(again.predict(data), expected), what
        json.load(open("again.json"))


def early_stop():
    values, labels = table(2, 600)
    write("rows.csv", values, labels)
    train = xgboost.DMatrix(values[:400], labels[:400])
    held_out = xgboost.DMatrix(values[400:], labels[400:])
    booster = xgboost.train(
        {"objective": "binary:logistic"},
        train,
        200,
        evals=[(held_out, "held_out")],
        early_stopping_rounds=5,
        verbose_eval=False,
    )
    booster.save_model("stopped.ubj")
    every = xgboost.DMatrix(values)
    best = (0, booster.best_iteration + 1)
    same("early stop, all trees", predict("stopped.ubj", "rows.csv"), booster.predict(every))
    same(
        "early stop, best",
        predict("stopped.ubj", "rows.csv", "best"),
        booster.predict(every, iteration_range=best),
    )


def ours_read_by_them():
    for what, missing, more in [
        ("plain", 0.0, []),
        ("missing", 0.15, []),
        ("weighted", 0.1, ["2.5"]),
        ("early stop", 0.1, ["1", "5"]),
    ]:
        values, labels = table(3, 1500, missing=missing)
        write("rows.csv", values, labels)
        for ending in ["json", "ubj"]:
            run("train", "rows.csv", f"ours.{ending}", *more)
            booster = xgboost.Booster(model_file=f"ours.{ending}")
            expected = booster.predict(xgboost.DMatrix(values))
            same(f"ours, {what}, {ending}", predict(f"ours.{ending}", "rows.csv"), expected)
            best = int(booster.attr("best_iteration") or booster.num_boosted_rounds() - 1)
            assert best + 1 == booster.num_boosted_rounds()


def learnt_the_same():
    """With few distinct values the cuts are the same, and so are the trees but for ties."""
    for what, distinct, missing, weight in [
        ("64 distinct values", 64, 0.0, 1.0),
        ("64 distinct values, missing, weighted", 64, 0.1, 2.0),
        ("any values", None, 0.05, 1.0),
    ]:
        values, labels = table(5, 6000, distinct, missing)
        train, test = slice(0, 4000), slice(4000, None)
        write("train.csv", values[train], labels[train])
        write("test.csv", values[test], labels[test])
        settings = {
            "objective": "binary:logistic",
            "max_depth": 6,
            "eta": 0.1,
            "tree_method": "hist",
            "scale_pos_weight": weight,
        }
        booster = xgboost.train(settings, xgboost.DMatrix(values[train], labels[train]), 100)
        theirs = booster.predict(xgboost.DMatrix(values[test]))
        run("train", "train.csv", "ours.ubj", weight)
        ours = predict("ours.ubj", "test.csv")
        scores = [auc(labels[test], scores) for scores in (ours, theirs)]
        away = np.abs(ours - theirs)
        print(
            f"{what}: AUC {scores[0]:.5f} (XGBoost {scores[1]:.5f}), probabilities differ by "
            f"{np.median(away):.1e} at the median, {away.max():.1e} at most"
        )
        assert scores[0] > scores[1] - 0.005
        if distinct:
            assert np.median(away) < 1e-4


theirs_read_by_us()
early_stop()
ours_read_by_them()
learnt_the_same()
print(f"boosted trees agree with XGBoost {xgboost.__version__}")
