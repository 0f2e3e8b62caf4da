"""The list: which ONNX operators may run in the serving process, and by which rule their outputs are sized. Pure.

An operator is on it where its outputs are no larger than its inputs and constants say, where it touches no file,
network or state, draws no random numbers, holds no graph of its own, and answers each row by that row alone. What is
missing is missing on purpose: Loop, Scan, If (graphs within graphs); Random…, Multinomial, Bernoulli; Expand, Tile,
Range, ConstantOfShape, Pad, Resize, NonZero, Unique, Compress, NonMaxSuppression (sizes that come from values); Shape
and Size (values that come from the number of rows); sequences, maps and optionals other than ZipMap's answer; String…
and TfIdf (text that grows); SVM… (indexes that nobody checks); convolutions and recurrences (heavy, and better off in a
process of their own). Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Mapping

ML = "ai.onnx.ml"

_SAME = (
    "Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Celu Clip Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid "
    "HardSwish Identity LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus "
    "Softsign Sqrt Swish Tan Tanh ThresholdedRelu"
)
_ELEMENTWISE = "Add Sub Mul Div Pow Mod PRelu Max Min Mean Sum BitwiseAnd BitwiseOr BitwiseXor"
_COMPARISONS = "And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual"
_REDUCTIONS = (
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare"
)
_OWN = {
    "ArgMax": "arg", "ArgMin": "arg", "BatchNormalization": "channels", "Cast": "cast", "Concat": "concat",
    "Constant": "constant", "Dropout": "dropout", "Flatten": "flatten", "Gather": "gather", "Gemm": "gemm",
    "IsInf": "test", "IsNaN": "test", "LayerNormalization": "along", "LogSoftmax": "along", "LpNormalization": "along",
    "Hardmax": "along", "MatMul": "matmul", "Reshape": "reshape", "Slice": "slice", "Softmax": "along",
    "Split": "split", "Squeeze": "squeeze", "Transpose": "transpose", "Unsqueeze": "unsqueeze", "Where": "where",
}  # fmt: skip
_ML = {
    "ArrayFeatureExtractor": "extract", "Binarizer": "same", "FeatureVectorizer": "vectorize", "Imputer": "columns",
    "LabelEncoder": "labels", "LinearClassifier": "linear_classifier", "LinearRegressor": "linear_regressor",
    "Normalizer": "columns", "Scaler": "columns", "TreeEnsembleClassifier": "tree_classifier",
    "TreeEnsembleRegressor": "tree_regressor", "ZipMap": "zipmap",
}  # fmt: skip

RULES: Mapping[tuple[str, str], str] = (
    {("", op): "same" for op in _SAME.split()}
    | {("", op): "elementwise" for op in _ELEMENTWISE.split()}
    | {("", op): "comparison" for op in _COMPARISONS.split()}
    | {("", op): "reduce" for op in _REDUCTIONS.split()}
    | {("", op): rule for op, rule in _OWN.items()}
    | {(ML, op): rule for op, rule in _ML.items()}
)
"""(domain, operator) → the name of its rule in ``shapes.py`` or ``ml_shapes.py``."""

OPSETS: Mapping[str, range] = {"": range(7, 27), ML: range(1, 6)}
"""The versions of each operator set that the rules were written for; before 7, broadcasting was something else."""
