"""Learning from finished attempts in SQL, as `domain.prediction.learn`, in the statement that records them.

Nothing here may fail or wait, because the job would not be finished: logarithms have bounds, and a rate that another
attempt changes at the same moment is left alone.
"""

from __future__ import annotations

from typing import Final

from dubline.orchestration.domain.cost import CropSize
from dubline.orchestration.domain.prediction import (
    CLIP,
    HALF_LIFE_S,
    LEAST_CLIP,
    LEAST_SHARE,
    MEMORY,
    PRIOR_DEVIATION,
    PRIOR_WEIGHT,
    WIDEST,
)

#: Work of a row of `jobs`, also if a version without it inserted the row.
WORK: Final = "coalesce(jobs.work_s, jobs.cost_s, jobs.speech_s)"
#: Its size of crop.
CROP_SIZE: Final = f"coalesce(jobs.crop_size, '{CropSize.MEDIUM}')"
#: Weight of a rate that was read as `rate`, now.
WEIGHT: Final = (
    f"least(rate.weight, {MEMORY}) * power(0.5, least(greatest("
    f"extract(epoch FROM now() - rate.learned_at)::float8, 0) / {HALF_LIFE_S}, 100))"
)
#: Work and time that are never divided by, and of which no logarithm is taken.
_LEAST_S: Final = 0.001
#: The last segment is never kept. A segment that was fetched is of an earlier attempt.
_SHARE: Final = """
SELECT 1 - (count(*) FILTER (WHERE checkpoints.attempt < attempts.number))::float8 / (count(*) + 1) AS share
FROM checkpoints WHERE checkpoints.job_id = jobs.id AND checkpoints.kind = 'segment'
"""
_TIME: Final = f"greatest(extract(epoch FROM now() - attempts.started_at)::float8, {_LEAST_S})"
#: Common table expressions to append to `updated`, the job and token of a finished attempt.
LEARNED: Final = f""", observed AS (
    SELECT jobs.preset, attempts.pool, {CROP_SIZE} AS crop_size, rendered.share,
        least(greatest(ln({_TIME} / greatest({WORK} * rendered.share, {_LEAST_S})), -{WIDEST}), {WIDEST}) AS log_rate
    FROM updated JOIN attempts ON attempts.token = updated.token JOIN jobs ON jobs.id = updated.id
    CROSS JOIN LATERAL ({_SHARE}) AS rendered WHERE rendered.share >= {LEAST_SHARE}
), before AS (
    SELECT rate.preset, rate.pool, rate.crop_size, rate.log_rate, rate.variance, {WEIGHT} AS weight,
        observed.share, observed.log_rate - rate.log_rate AS distance
    FROM observed JOIN learned_rates AS rate USING (preset, pool, crop_size) FOR UPDATE OF rate SKIP LOCKED
), clipped AS (
    SELECT before.*, share / (weight + share) AS gain, greatest({LEAST_CLIP}, {CLIP} * sqrt(
        ({PRIOR_WEIGHT} * {PRIOR_DEVIATION**2} + weight * variance) / ({PRIOR_WEIGHT} + weight)
    )) AS clip FROM before
), stepped AS (
    SELECT clipped.*, least(greatest(distance, -clip), clip) AS step FROM clipped
), learned AS (
    UPDATE learned_rates AS rate SET
        log_rate = stepped.log_rate + gain * step,
        variance = (1 - gain) * (stepped.variance + gain * step * step),
        weight = stepped.weight + share, learned_at = now()
    FROM stepped
    WHERE (rate.preset, rate.pool, rate.crop_size) = (stepped.preset, stepped.pool, stepped.crop_size)
), begun AS (
    INSERT INTO learned_rates (preset, pool, crop_size, log_rate, variance, weight)
    SELECT preset, pool, crop_size, log_rate, 0, share FROM observed ON CONFLICT DO NOTHING
)"""  # noqa: S608 - our own text
