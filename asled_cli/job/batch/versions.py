"""What decides about the frames of every job of a batch, so that several machines can be compared."""

from asled_cli.errors import WeightsError
from asled_cli.job.resume.fingerprint import versions_of_programs
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo

NO_NETWORK = {"swap", "single"}


def versions(method: str) -> dict[str, str]:
    """Return the versions of this machine's programs, and the SHA-256 of the weights that its jobs find."""
    if method in NO_NETWORK:
        return versions_of_programs()
    try:
        found = weights.hash_file(weights.find(zoo.DEFAULT))
    except WeightsError:  # each job says so, or does without
        found = "none"
    return {**versions_of_programs(), "the SHA-256 of the weights": found}
