"""Statistics of a study: means and differences with intervals that know of documents, paired
tests, and what a study can find. Pure functions of numbers and cluster names.
"""

from teichaku.core.statistics.clusters import Interval, Scale, student_quantile
from teichaku.core.statistics.comparisons import (
    McNemar,
    Tally,
    documents_needed,
    holm,
    mcnemar,
    minimum_detectable_difference,
    sign_flip_test,
    tally,
)
from teichaku.core.statistics.means import (
    SeededMean,
    clustered_mean,
    paired_difference,
    seeded_mean,
    share_interval,
    stratified_mean,
)
from teichaku.core.statistics.resampling import (
    bootstrap,
    bootstrap_difference,
    bootstrap_mean,
    bootstrap_of_sums,
)

__all__ = [
    "Interval",
    "McNemar",
    "Scale",
    "SeededMean",
    "Tally",
    "bootstrap",
    "bootstrap_difference",
    "bootstrap_mean",
    "bootstrap_of_sums",
    "clustered_mean",
    "documents_needed",
    "holm",
    "mcnemar",
    "minimum_detectable_difference",
    "paired_difference",
    "seeded_mean",
    "share_interval",
    "sign_flip_test",
    "stratified_mean",
    "student_quantile",
    "tally",
]
