"""Writes tests/golden/xgboost: small models of the installed XGBoost, and what they predict.

Run once per version (2.1.4, 3.2.0) with the folder as its argument.
"""

import json
import sys

import numpy as np
import xgboost

folder = sys.argv[1]
random = np.random.default_rng(11)
values = random.normal(size=(300, 4)).astype("f4")
values[:, 3] = random.integers(0, 3, 300)
values[random.random(values.shape) < 0.1] = np.nan
known = np.nan_to_num(values)
score = known[:, 0] + known[:, 1] * known[:, 2] + 0.4 * random.normal(size=300)
labels = (score > 0.3).astype(int)
data = xgboost.DMatrix(values, labels)
settings = {
    "objective": "binary:logistic",
    "max_depth": 3,
    "tree_method": "hist",
    "scale_pos_weight": 1.5,
}
booster = xgboost.train(
    settings, data, 8, evals=[(data, "v")], early_stopping_rounds=4, verbose_eval=False
)
name = f"{folder}/xgboost-{xgboost.__version__}"
booster.save_model(f"{name}.ubj")
booster.save_model(f"{name}.json")
rows = values[:40]
expected = {
    "rows": [[None if np.isnan(value) else float(value) for value in row] for row in rows],
    "margins": [float(v) for v in booster.predict(xgboost.DMatrix(rows), output_margin=True)],
    "probabilities": [float(value) for value in booster.predict(xgboost.DMatrix(rows))],
    **{kind: booster.get_score(importance_type=kind) for kind in ["gain", "weight", "cover"]},
}
with open(f"{name}.expected.json", "w") as out:
    json.dump(expected, out, indent=0)
