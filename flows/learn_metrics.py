"""What the learner process tells an operator. No label holds anything but a model's name and words of our own."""

from prometheus_client import Counter, Gauge, Histogram

from engine.models.base import Report

VERSION = Gauge("regulars_model_version", "Examples the published model has learned", ["model"], multiprocess_mode="mostrecent")
AGE = Gauge(
    "regulars_model_age_seconds",
    "Seconds since the model's numbers were published",
    ["model"],
    multiprocess_mode="mostrecent",
)
LOG_LOSS = Gauge(
    "regulars_model_matured_log_loss",
    "Mean log loss of the last matured labels, each predicted before it was learned",
    ["model"],
    multiprocess_mode="mostrecent",
)
AUC = Gauge("regulars_model_auc", "Exact AUC over the last matured labels", ["model"], multiprocess_mode="mostrecent")
CALIBRATION = Gauge(
    "regulars_model_calibration_error",
    "Expected calibration error over the last matured labels",
    ["model"],
    multiprocess_mode="mostrecent",
)
LABELS = Counter("regulars_model_labels_total", "Matured labels learned", ["model"])
SKIPPED = Counter("regulars_model_skipped_total", "Matured labels not learned", ["model", "reason"])
COMMITS = Counter("regulars_model_commits_total", "Model commits", ["outcome"])
COMMIT_SECONDS = Histogram(
    "regulars_model_commit_seconds",
    "Time of one model commit",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0),
)

_REASONS = ("unlearnable", "foreign", "ignored")


def tell(before: Report, after: Report) -> None:
    """Count what a model learned between two reports, and show the figures of the later one."""
    model = after.model
    VERSION.labels(model).set(after.version)
    LABELS.labels(model).inc(max(0, after.version - before.version))
    for reason in _REASONS:
        SKIPPED.labels(model, reason).inc(max(0, getattr(after, reason) - getattr(before, reason)))
    shown = ((LOG_LOSS, after.log_loss), (AUC, after.auc), (CALIBRATION, after.calibration_error))
    for gauge, value in shown:
        if value is not None:
            gauge.labels(model).set(value)
