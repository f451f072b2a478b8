"""What the learner process tells an operator. No label holds anything but a model's name and words of our own."""

from prometheus_client import Counter, Gauge, Histogram

from engine.models.base import Report
from engine.models.guard import Note, Record

VERSION = Gauge(
    "regulars_model_version", "Examples that the served numbers have learned", ["model"], multiprocess_mode="mostrecent"
)
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
FROZEN = Gauge(
    "regulars_model_frozen",
    "1 while a good version is served instead of the newest numbers",
    ["model"],
    multiprocess_mode="mostrecent",
)
DRIFT = Gauge(
    "regulars_model_drift_level",
    "How near the drift alarm on matured labels is: 0 calm, 1 certain",
    ["model"],
    multiprocess_mode="mostrecent",
)
ALARMS = Counter("regulars_model_drift_alarms_total", "Drift alarms on matured labels", ["model"])
ROLLBACKS = Counter("regulars_model_rollbacks_total", "Times that a good version was served instead of the newest", ["model"])
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
    LABELS.labels(model).inc(max(0, after.version - before.version))
    for reason in _REASONS:
        SKIPPED.labels(model, reason).inc(max(0, getattr(after, reason) - getattr(before, reason)))
    shown = ((LOG_LOSS, after.log_loss), (AUC, after.auc), (CALIBRATION, after.calibration_error))
    for gauge, value in shown:
        if value is not None:
            gauge.labels(model).set(value)


def tell_served(before: Record, after: Record) -> list[Note]:
    """Show what is served of a model, count what happened between two records, and return what there is to say about it."""
    model = after.model
    VERSION.labels(model).set(max(0, after.served))
    FROZEN.labels(model).set(bool(after.frozen))
    DRIFT.labels(model).set(after.level)
    ALARMS.labels(model).inc(max(0, after.alarms - before.alarms))
    ROLLBACKS.labels(model).inc(max(0, after.rollbacks - before.rollbacks))
    known = set(before.notes)
    return [note for note in after.notes if note not in known]
