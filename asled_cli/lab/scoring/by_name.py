"""Scores of one clip by its name, cached ones where they exist."""

from collections.abc import Callable, Sequence

from asled_cli.errors import UsageError
from asled_cli.lab.scoring.clip_scores import ClipScores, ScoreCache, score_clip, score_key
from asled_cli.lab.scoring.clips import ScoreClip, identify, open_clip
from asled_cli.lab.scoring.config import WITHOUT_TRUTH, EvalConfig
from asled_cli.lab.scoring.methods import Model


def score_by_name(
    config: EvalConfig, models: list[Model], name: str, code: str, check: Callable[[], None] = lambda: None
) -> tuple[list[ClipScores], dict[str, str]]:
    """Return the scores of one clip by each model, cached ones where they exist, and their keys.

    code: `code_fingerprint`.
    """
    kept = ScoreCache(config.cache_folder)
    clip = identify(config, name)
    keys = {model.name: score_key(clip, model, config, code) for model in models}
    found = {model.name: kept.find(name, model.name, keys[model.name]) for model in models}
    missing = [model for model in models if found[model.name] is None]
    if missing:
        clip = open_clip(config, name)
        _check_truth(clip, missing, config)
        for model, (scores, pictures) in score_clip(clip, missing, config, check=check).items():
            kept.keep(scores, keys[model], pictures)
            found[model] = scores
    return [scores for scores in found.values() if scores is not None], keys


def _check_truth(clip: ScoreClip, models: Sequence[Model], config: EvalConfig) -> None:
    if clip.truth is not None:
        return
    if any(model.kind == "oracle-half" for model in models):
        raise UsageError(
            f"oracle-half is made of the truth, and clip {clip.name} has none.", "Leave it out of --methods."
        )
    if not set(config.metrics) & WITHOUT_TRUTH:
        raise UsageError(
            f"Clip {clip.name} has no truth, which {', '.join(config.metrics)} need.",
            f"Use --metrics {','.join(sorted(WITHOUT_TRUTH))}.",
        )
