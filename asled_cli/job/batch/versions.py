"""What decides about the frames of every job of a batch, so that several machines can be compared."""

from asled_cli.errors import WeightsError
from asled_cli.job.resume.fingerprint import decisive_versions
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo

NO_NETWORK = {"swap", "single"}


def versions(method: str) -> dict[str, str]:
    """Return the versions of this machine's programs, and the SHA-256 of the weights that its jobs find."""
    if method in NO_NETWORK:
        return decisive_versions(None)
    try:
        return decisive_versions(weights.find(zoo.DEFAULT))
    except WeightsError:  # each job says so, or does without
        return decisive_versions(None)
