"""What endpoints said, how good it was, what was decided, and what people did and asked."""

from mlops_bikeshare.domain.tables.column import STATION, Column, Table, instant, share

INFERENCE = Table(
    "inference",
    "inference",
    "dt",
    ("endpoint", "station_id", "dt", "horizon_min"),
    "What each endpoint said, one object per batch.",
    (
        Column("endpoint", "string", "name of the endpoint"),
        Column("model_version", "string", "registered version that answered", nullable=True),
        Column("variant", "string", "production variant that answered", nullable=True),
        STATION,
        instant("dt", "decision time"),
        Column("horizon_min", "int16", "minutes ahead of dt", "min", low=10, high=120),
        share("p_bikeout", "calibrated probability of a bike stockout"),
        share("p_dockout", "calibrated probability of a dock stockout"),
        Column("source", "string", "`model` or `fallback`"),
    ),
)
_KEYED = (
    Column("endpoint", "string", "name of the endpoint"),
    Column("model_version", "string", "registered version that was judged"),
    instant("window_start", "start of the decision times judged"),
    instant("window_end", "end of the decision times judged, exclusive"),
)
_DOWN = "decision times since the first batch whose label no station has: the feed was down"
_HANDLED = "of the censored, rows whose station somebody had handled in the hour before the label"
MONITORING_QUALITY = Table(
    "monitoring_quality",
    "monitoring/monitoring_quality",
    "window_end",
    ("endpoint", "model_version", "target", "window_end", "horizon_min", "revision"),
    "Quality from matured labels, a row per endpoint, version, target, window and revision.",
    (
        *_KEYED,
        Column("target", "string", "`bikeout` or `dockout`"),
        Column("horizon_min", "int16", "minutes ahead of dt", "min", low=10, high=120),
        Column("revision", "int16", "1 when first judged; the highest counts", "1", low=1),
        Column("feed_down", "float64", _DOWN, "1", nullable=True, low=0),
        Column("handled", "float64", _HANDLED, "1", nullable=True, low=0),
        Column("decision_times", "int32", "decision times with a matured label", "1", low=0),
        Column("samples", "int64", "labelled rows that were answered", "1", low=0),
        Column("censored", "int64", "rows without a label", "1", low=0),
        Column("unanswered", "int64", "labelled rows without a probability", "1", low=0),
        Column("onset_samples", "int64", "labelled rows not out at dt", "1", low=0),
        share("base_rate", "share of rows that went out"),
        share("pr_auc", "average precision"),
        share("f1", "F1 at the version's threshold"),
        share("brier", "Brier score"),
        share("ece", "expected calibration error, 10 bins"),
        share("onset_pr_auc", "average precision of onset rows"),
        Column("brier_skill", "float64", "1 - Brier / persistence's Brier", "1", nullable=True),
        Column("onset_brier_skill", "float64", "the same on onset rows", "1", nullable=True),
        share("persistence_pr_auc", "average precision of persistence"),
        share("persistence_brier", "Brier score of persistence"),
        share("persistence_onset_pr_auc", "onset average precision of persistence"),
        share("estimated_brier", "Brier score that the answers promised before any label"),
        share("estimated_pr_auc", "average precision that the answers promised"),
    ),
)
MONITORING_DRIFT = Table(
    "monitoring_drift",
    "monitoring/monitoring_drift",
    "window_end",
    ("endpoint", "model_version", "feature", "window_end"),
    "Drift of each feature against the version's own reference.",
    (
        *_KEYED,
        Column("feature", "string", "name of the feature, the answer or the count"),
        Column("kind", "string", "`psi`, `range`, `prediction` or `feed`"),
        Column("value", "float64", "PSI, share outside the training range, or stations", "1"),
        Column("rows", "int64", "rows judged", "1", low=0),
    ),
)
MONITORING_AUDIT = Table(
    "monitoring_audit",
    "monitoring/monitoring_audit",
    "decided_at",
    ("number",),
    "Every decision: the lines of audit.jsonl, whose chain of digests is what proves them.",
    (
        Column("number", "int64", "line of the audit, from 1", "1", low=1),
        instant("decided_at", "when it was decided, by the workspace's clock"),
        Column("kind", "string", "deploy, gate, canary, promotion, rollback, …"),
        Column("endpoint", "string", "endpoint it is about", nullable=True),
        Column("model_version", "string", "registered version it is about", nullable=True),
        Column("artefact_digest", "string", "digest of that version's artefact", nullable=True),
        Column("who", "string", "account that ran it"),
        Column("why", "string", "reason"),
        Column("facts", "string", "the evidence, as JSON"),
        Column("previous", "string", "digest of the line before", nullable=True),
        Column("digest", "string", "digest of this line"),
    ),
)
STATION_FEEDBACK = Table(
    "station_feedback",
    "feedback/station_feedback",
    "said_at",
    ("station_id", "said_at"),
    "What people saw or did at stations, one object each.",
    (
        STATION,
        instant("said_at", "when it was said, by the workspace's clock"),
        Column("what", "string", "`handled`: somebody went there; `wrong`: the prediction was"),
        Column("note", "string", "in the person's own words", nullable=True),
        Column("who", "string", "account that said it"),
    ),
)
WHATIF_REQUESTS = Table(
    "whatif_requests",
    "whatif/whatif_requests",
    "asked_at",
    ("request", "station_id", "horizon_min"),
    "What people asked an endpoint about other inputs, one object a request; no predictions.",
    (
        Column("request", "string", "id of the request"),
        instant("asked_at", "when it was asked, by the workspace's clock"),
        Column("scope", "string", "`station` or `city`"),
        Column("inputs", "string", "what was changed, as JSON"),
        Column("without_influence", "string", "changed inputs that no feature knows, by comma"),
        Column("endpoint", "string", "name of the endpoint"),
        Column("model_version", "string", "registered version that answered", nullable=True),
        Column("variant", "string", "production variant that answered"),
        STATION,
        instant("dt", "decision time whose counts were changed"),
        Column("horizon_min", "int16", "minutes ahead of dt", "min", low=10, high=120),
        share("p_bikeout", "calibrated probability of a bike stockout"),
        share("p_dockout", "calibrated probability of a dock stockout"),
    ),
)
