"""Train, log and register models with plain MLflow. Nothing here knows of Headgate: MLFLOW_TRACKING_URI is all it
needs.

    MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python docs/examples/train.py
"""

from importlib.metadata import version

import mlflow
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

WORK = {
    "breast-cancer": (
        load_breast_cancer,
        [make_pipeline(StandardScaler(), LogisticRegression()), RandomForestClassifier(100, random_state=0)],
    ),
    "diabetes": (load_diabetes, [Ridge(), RandomForestRegressor(100, random_state=0)]),
}

# What the models need. MLflow would find out by itself, by loading each model once more in a process of its own.
requirements = [f"{name}=={version(name)}" for name in ("mlflow", "scikit-learn", "pandas", "numpy", "cloudpickle")]

mlflow.set_experiment("headgate demo")
for name, (load, estimators) in WORK.items():
    X, y = load(as_frame=True, return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    for estimator in estimators:
        with mlflow.start_run():
            estimator.fit(X_train, y_train)
            mlflow.log_metric("test_score", estimator.score(X_test, y_test))
            info = mlflow.sklearn.log_model(
                estimator,
                name="model",
                registered_model_name=name,
                input_example=X_test.head(3),
                pip_requirements=requirements,
                serialization_format="cloudpickle",  # MLflow's new default, skops, does not take forests yet
            )
            print(f"{name} version {info.registered_model_version}: test score {estimator.score(X_test, y_test):.3f}")
