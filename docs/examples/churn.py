"""Train, log and register three versions of `churn` with plain MLflow: one in use, a good successor, and a bad one.

The third was trained after customers who pay by cheque had been left out of the data by mistake, and its encoder knows
nothing to say of a kind of payment that it has never seen: it raises. Its test score and its own example tell nothing,
since both were made of the same data; one customer in twenty finds out.

    MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python docs/examples/churn.py
"""

from importlib.metadata import version

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

NAME = "churn"
CHEQUES = 1 / 20


def customers(count: int, seed: int) -> pd.DataFrame:
    """Return customers: months with us, monthly price, tickets they opened, and how they pay."""
    chance = np.random.default_rng(seed)
    payment = chance.choice(["card", "transfer", "cheque"], count, p=[0.6, 0.4 - CHEQUES, CHEQUES])
    return pd.DataFrame(
        {
            "months": chance.gamma(2.0, 14.0, count).round(1),
            "price": chance.normal(45.0, 15.0, count).clip(5).round(2),
            "tickets": chance.poisson(1.2, count).astype(float),
            "payment": payment,
        }
    )


def left(people: pd.DataFrame, seed: int) -> npt.NDArray[np.int64]:
    """Return who left us: the new, the dear, the dissatisfied, and chance."""
    score = 0.03 * (people["price"] - 45) - 0.05 * (people["months"] - 28) + 0.5 * (people["tickets"] - 1.2)
    chance = np.random.default_rng(seed)
    return np.asarray(chance.random(len(people)) < 1 / (1 + np.exp(-score)), dtype=np.int64)


def pipeline(unknown: str, strength: float) -> Pipeline:
    """Return a classifier; ``unknown`` says what its encoder does with a kind of payment that it has not seen."""
    numbers = ["months", "price", "tickets"]
    columns = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(handle_unknown=unknown), ["payment"]))
    return make_pipeline(columns, LogisticRegression(C=strength))


def main() -> None:
    """Register the three versions, in this order."""
    people, others = customers(4000, seed=1), customers(2000, seed=4)
    no_cheques = people["payment"] != "cheque"
    work = [
        ("in use", pipeline("ignore", 1.0), people.head(2000)),
        ("more data", pipeline("ignore", 1.0), people),
        ("without cheques", pipeline("error", 1.0), people[no_cheques]),
    ]
    # What the models need. MLflow would find out by itself, by loading each model once more in a process of its own.
    needed = [f"{name}=={version(name)}" for name in ("mlflow", "scikit-learn", "pandas", "numpy", "cloudpickle")]
    mlflow.set_experiment("headgate demo")
    for what, model, data in work:
        with mlflow.start_run(run_name=what):
            target, tested = left(data, seed=2), others[others["payment"].isin(data["payment"])]
            model.fit(data, target)
            mlflow.log_metric("training_score", model.score(data, target))
            mlflow.log_metric("test_accuracy", model.score(tested, left(tested, seed=5)))
            info = mlflow.sklearn.log_model(
                model,
                name="model",
                registered_model_name=NAME,
                input_example=data.head(3),
                pip_requirements=needed,
                serialization_format="cloudpickle",
            )
            score = model.score(data, target)
            print(f"{NAME} version {info.registered_model_version} ({what}): training score {score:.3f}")


if __name__ == "__main__":
    main()
