"""Queries for common questions, as a starting point for other queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class SavedQuery:
    """A question and the statement that answers it.

    Attributes:
        name: Value of `podium query --example`.
        question: Question of a user.
        sql: One SELECT statement.
        parameters: Meaning of each `$name` in the statement.
    """

    name: str
    question: str
    sql: str
    parameters: Mapping[str, str] = field(default_factory=dict)


_BEST = """
WITH cells AS (  -- a diverged trial counts as 0, as in the podium
    SELECT protocol_id, dataset, model, loss, count(*) AS num_trials,
           avg(CASE status WHEN 'diverged' THEN 0 ELSE dice END) AS dice
    FROM trials
    GROUP BY ALL
)
SELECT {axis}, loss, avg(dice) AS mean_dice, sum(num_trials) AS num_trials, protocol_id
FROM cells
GROUP BY protocol_id, {axis}, loss
QUALIFY rank() OVER (PARTITION BY protocol_id, {axis} ORDER BY avg(dice) DESC) = 1
ORDER BY protocol_id, {axis}, loss
"""

_SAVED = (
    SavedQuery(
        name="best-loss-per-dataset",
        question="Which loss has the best mean Dice on each dataset?",
        sql=_BEST.format(axis="dataset"),
    ),
    SavedQuery(
        name="best-loss-per-model",
        question="Which loss has the best mean Dice with each model?",
        sql=_BEST.format(axis="model"),
    ),
    SavedQuery(
        name="best-trials",
        question="Which twenty trials have the best Dice?",
        sql="""
SELECT dataset, model, loss, repeat, dice, iou, recall, precision, best_epoch, trial_id
FROM trials
WHERE status = 'completed'
ORDER BY dice DESC, trial_id
LIMIT 20
""",
    ),
    SavedQuery(
        name="slowest-models",
        question="Which models take longest to train?",
        sql="""
SELECT model, device,
       count(*) AS num_trials,
       avg(train_seconds) AS seconds_per_trial,
       sum(train_seconds) / nullif(sum(num_epochs), 0) AS seconds_per_epoch,
       max(peak_memory_bytes) / 1048576 AS peak_memory_mib
FROM trials
GROUP BY model, device
ORDER BY seconds_per_trial DESC, model, device
""",
    ),
    SavedQuery(
        name="gpu-hours-by-model",
        question="How many GPU-hours and CPU-thread-hours did each model take?",
        sql="""
WITH used AS (
    SELECT t.model, t.train_seconds / 3600 AS hours, t.num_threads,
           CASE t.gpu_ids WHEN '' THEN 0 ELSE len(string_split(t.gpu_ids, ',')) END
           -- less than 1 where several trials shared a GPU
           * CASE WHEN g.gpus > 0 AND g.gpus < 1 THEN g.gpus ELSE 1 END AS gpus
    FROM trials t LEFT JOIN (SELECT trial_id, any_value(gpus) AS gpus FROM grid GROUP BY 1) g
        USING (trial_id)
)
SELECT model, count(*) AS num_trials, sum(hours) AS hours, sum(hours * gpus) AS gpu_hours,
       sum(CASE WHEN gpus = 0 THEN hours * num_threads ELSE 0 END) AS cpu_thread_hours
FROM used
GROUP BY model
ORDER BY gpu_hours DESC, hours DESC, model
""",
    ),
    SavedQuery(
        name="diverged-trials",
        question="Which trials diverged, and what do they say?",
        sql="""
SELECT dataset, model, loss, repeat, num_epochs, message, trial_id
FROM trials
WHERE status = 'diverged'
ORDER BY dataset, model, loss, repeat
""",
    ),
    SavedQuery(
        name="failures-by-class",
        question="What failed, how often, and did it succeed later?",
        sql="""
SELECT f.failure_class,
       count(*) AS num_attempts,
       count(DISTINCT f.trial_id) AS num_trials,
       count(DISTINCT f.trial_id) FILTER (t.trial_id IS NOT NULL) AS num_finished,
       mode(f.message) AS commonest_message
FROM failures f LEFT JOIN (SELECT trial_id FROM trials) t USING (trial_id)
GROUP BY f.failure_class
ORDER BY num_attempts DESC, f.failure_class
""",
    ),
    SavedQuery(
        name="missing",
        question="Which trials of the grid have no result?",
        sql="""
SELECT dataset, model, loss, status,
       count(*) AS num_trials,
       list(repeat ORDER BY repeat) AS repeats,
       max(message) AS message
FROM grid
WHERE status IN ('missing', 'failed')
GROUP BY dataset, model, loss, status
ORDER BY dataset, model, loss, status
""",
    ),
    SavedQuery(
        name="coverage",
        question="How much of each sweep is done?",
        sql="""
SELECT sweep,
       count(*) AS num_trials,
       count(*) FILTER (status = 'completed') AS completed,
       count(*) FILTER (status = 'diverged') AS diverged,
       count(*) FILTER (status = 'failed') AS failed,
       count(*) FILTER (status = 'missing') AS missing,
       protocol_id
FROM grid
GROUP BY sweep, protocol_id
ORDER BY sweep, protocol_id
""",
    ),
    SavedQuery(
        name="learning-curve",
        question="How did one trial learn?",
        sql="""
SELECT trial_id, epoch, train_loss, val_dice, val_iou, seconds
FROM epochs
WHERE starts_with(trial_id, $trial_id)
ORDER BY trial_id, epoch
""",
        parameters={"trial_id": "the trial's id, or its beginning"},
    ),
    SavedQuery(
        name="stopped-by-the-limit",
        question="Which models were still improving in the last tenth of their epochs?",
        sql="""
SELECT model, loss,
       count(*) AS num_trials,
       count(*) FILTER (best_epoch > 0.9 * num_epochs) AS still_improving,
       avg(best_epoch) AS mean_best_epoch,
       avg(num_epochs) AS mean_epochs
FROM trials
WHERE status = 'completed'
GROUP BY model, loss
ORDER BY still_improving / num_trials DESC, model, loss
""",
    ),
    SavedQuery(
        name="repeat-noise",
        question="How much does Dice differ between repeats of one combination?",
        sql="""
SELECT dataset, model, loss,
       count(*) AS num_repeats,
       avg(dice) AS mean_dice,
       stddev_samp(dice) AS sd_dice,
       max(dice) - min(dice) AS range_dice,
       protocol_id
FROM trials
WHERE status = 'completed'
GROUP BY protocol_id, dataset, model, loss
ORDER BY sd_dice DESC NULLS LAST, protocol_id, dataset, model, loss
""",
    ),
    SavedQuery(
        name="over-and-under-segmentation",
        question="Which losses find too much (precision below recall), which too little?",
        sql="""
SELECT loss,
       avg(precision) AS mean_precision,
       avg(recall) AS mean_recall,
       avg(precision) - avg(recall) AS difference,
       CASE WHEN avg(precision) < avg(recall) THEN 'too much'
            WHEN avg(precision) > avg(recall) THEN 'too little'
            ELSE 'even' END AS finds,
       count(*) AS num_trials,
       protocol_id
FROM trials
WHERE status = 'completed'
GROUP BY protocol_id, loss
ORDER BY protocol_id, difference, loss
""",
    ),
    SavedQuery(
        name="hardest-images",
        question="Which twenty test images have the lowest mean Dice over all trials?",
        sql="""
SELECT dataset, image,
       avg(CASE WHEN tp + fp + fn = 0 THEN 1 ELSE 2 * tp / (2 * tp + fp + fn) END) AS mean_dice,
       count(*) AS num_trials,
       avg(tp + fn) AS true_pixels
FROM images
GROUP BY dataset, image
ORDER BY mean_dice, dataset, image
LIMIT 20
""",
    ),
)

SAVED_QUERIES: Mapping[str, SavedQuery] = {
    saved.name: SavedQuery(
        name=saved.name,
        question=saved.question,
        sql=saved.sql.strip(),
        parameters=saved.parameters,
    )
    for saved in _SAVED
}
